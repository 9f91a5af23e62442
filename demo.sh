#!/usr/bin/env bash
# From nothing to a scene graph on screen: the README's commands, one after the other, on the sample world.
# VENV=DIR uses an existing environment. Everything made lies in data/ and sample_run/.
set -eu
cd "$(dirname "$0")"
trap 'echo "FAILED: $BASH_COMMAND" >&2' ERR
beginning=$SECONDS
. ./setup_venv.sh
echo "== The environment is ready ($((SECONDS - beginning)) s)"

step() { # step TITLE COMMAND...: say it, run it, time it
  local title=$1 start=$SECONDS
  shift
  printf '\n== %s\n$ %s\n' "$title" "$*"
  "$@" || { echo "FAILED: $*" >&2; exit 1; }
  echo "-- $((SECONDS - start)) s"
}

step "Drawing the sample world" python data/make_sample.py
step "Annotations to semantic action graph and splits" python create_graph.py --min_occurrences 5
step "Training skip-thoughts on the sample's phrases" \
  python -m skipthoughts.train --from_graphs data/data_samples/train_data.json --output data/sample_skipthoughts \
  --model uni
step "Training the agent" python main.py --train --preset sample --output_dir sample_run
step "Testing it beside its baselines" \
  python main.py --test --preset sample --output_dir sample_run --policy agent frequency random
step "Graphs as JSON" \
  python graphviz/pickle_to_files.py --pickle sample_run/image_states.pickle --output sample_run/graphs
step "A scene graph as PNG" \
  python graphviz/visualize.py --graph sample_run/graphs/curr_graph_57.json --image data/VG_100K/9000398.jpg \
  --max_relationships 9 --output sample_run/scene_graph.png --no-open
step "Precision and recall" \
  python graphviz/precision_recall.py --pickle sample_run/image_states.pickle --output sample_run/precision_recall.png
step "The gallery" \
  python graphviz/gallery.py --pickle sample_run/image_states.pickle --images_dir data/VG_100K --output sample_run/gallery

printf '\nA scene graph: %s\nThe gallery: %s\nAll of it took %s s.\n' \
  "$PWD/sample_run/scene_graph.png" "$PWD/sample_run/gallery/index.html" "$((SECONDS - beginning))"
printf '\nScene graphs of your own photos, with nothing to train:\n  %s main.py --predict PHOTOS\n' "$VENV/bin/python"
