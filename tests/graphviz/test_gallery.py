"""The gallery, in a real headless browser: opened from disk, no console error, nothing asked of the network."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from drawing.gallery import _write_index, make_gallery, prediction_gallery
from files.io import InputError, unique_names
from files.scene_graphs import write_image_states

ROOT = Path(__file__).resolve().parents[2]
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EVIL_IMAGE = '<img src=x onerror="alert(1)">&amp;.png'
EVIL_WORD = "<script>document.title='broken'</script>"


@pytest.fixture(scope="module")
def script():
    """graphviz/gallery.py as a module; its folder is not a package, since PyPI's `graphviz` must stay importable."""
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "graphviz" / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def thing(name: str, x: int, y: int, w: int, h: int) -> dict:
    return {"name": name, "x": x, "y": y, "w": w, "h": h}


def riding(image_name: str) -> tuple[dict, dict]:
    """Ground truth and prediction of one image; of the two annotated relationships one is found."""
    objects = [thing("man", 20, 10, 60, 90), thing("horse", 30, 60, 120, 100), thing("tree", 220, 0, 60, 190)]
    truth = {
        "image_name": image_name,
        "objects": objects,
        "attributes": [{"attribute": "tall", "object": 2}],
        "relationships": [
            {"predicate": "riding", "subject": 0, "object": 1},
            {"predicate": "near", "subject": 1, "object": 2},
        ],
    }
    prediction = {
        "image_name": image_name,
        "objects": [{**o, "score": 0.9 - i / 10} for i, o in enumerate(objects)],
        "attributes": [{"attribute": "tall", "object": 2, "score": 0.6, "step": 3}],
        "relationships": [
            {"predicate": "riding", "subject": 0, "object": 1, "score": 0.8, "step": 1},
            {"predicate": EVIL_WORD, "subject": 1, "object": 0, "score": 0.3, "step": 2},
        ],
        "steps": [[0, -1], [0, 1], [1, 0], [2, -1]],
    }
    return truth, prediction


def plain(image_name: str, recall: int) -> tuple[dict, dict]:
    """Ten annotated relationships, `recall` of them found."""
    objects = [thing("dog", 0, 0, 40, 40), thing("ball", 60, 60, 20, 20)]
    edges = [{"predicate": f"p{i}", "subject": 0, "object": 1} for i in range(10)]
    graph = {"image_name": image_name, "objects": objects, "attributes": []}
    return {**graph, "relationships": edges}, {**graph, "relationships": edges[:recall]}


@pytest.fixture(scope="module")
def gallery(script, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    photos = folder / "photos"
    photos.mkdir()
    pairs = [riding("rider 1.png"), riding(EVIL_IMAGE), plain("dog.png", 10), plain("DOG.jpg", 0), plain("gone.png", 4)]
    pairs.append(
        ({**pairs[2][0], "image_name": "../out.png", "relationships": []}, {**pairs[2][1], "image_name": "../out.png"})
    )
    pairs[1][0]["relationships"][1]["predicate"] = EVIL_WORD
    for name in ("rider 1.png", EVIL_IMAGE, "dog.png"):
        Image.new("RGB", (300, 200), "#7a9e7e").save(photos / name, format="PNG")
    (photos / "DOG.jpg").write_bytes(b"no picture")
    Image.new("RGB", (30, 20)).save(folder / "out.png")
    write_image_states(folder / "image_states.pickle", *map(list, zip(*pairs, strict=True)))
    arguments = ["--pickle", folder / "image_states.pickle", "--images_dir", photos, "--output", folder / "made"]
    assert not script.main(list(map(str, arguments)))
    return folder / "made"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium: on Debian `apt-get install chromium`")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def watched(browser) -> Iterator:
    """One page for all tests, and what went wrong on it: console errors, exceptions, requests to anything but files."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(10_000)
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(f"exception: {error}"))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or troubles.append(f"request: {r.url}"))
    # A request that leaving the page has cut off is fine.
    page.on("requestfailed", lambda r: "ABORTED" in r.failure or troubles.append(f"failed: {r.url} {r.failure}"))
    yield page, troubles
    page.close()


@pytest.fixture
def page(watched) -> Iterator:
    page, troubles = watched
    troubles.clear()
    page.mouse.move(1, 1)
    yield page
    assert troubles == []


def cards(page) -> list[str]:
    return page.locator(".card h2").all_text_contents()


def lit(page) -> set[str]:
    """Keys of the nodes and boxes that are lit."""
    return set(page.eval_on_selector_all(".node.on, .box.on", "all => all.map(e => e.id || e.dataset.key)"))


# ---------------------------------------------------------------- files


def test_file_names_are_safe_and_no_two_alike():
    names = ["a.jpg", "A.png", "x/a.jpg", "../../etc/passwd", "", "..", "a-2.jpg", "é ü.jpg", "n" * 300 + ".jpg"]
    stems = unique_names(Path(name).stem for name in names)
    assert len({stem.casefold() for stem in stems}) == len(names)
    assert all("/" not in stem and stem not in ("", ".", "..") and len(stem) < 120 for stem in stems)
    assert stems[0] == "a"


def test_nothing_leaves_the_folder_and_photos_are_encoded_again(gallery):
    made = sorted(str(path.relative_to(gallery)) for path in gallery.rglob("*") if path.is_file())
    assert [name for name in made if name.startswith("pages/")] == [
        "pages/DOG-2.html",
        "pages/_img src=x onerror=_alert(1)__&amp;.html".replace("=", "_")
        .replace("(", "_")
        .replace(")", "_")
        .replace("&amp;", "_amp_"),
        "pages/dog.html",
        "pages/gone.html",
        "pages/out.html",
        "pages/rider 1.html",
    ]
    assert sum(name.startswith("photos/") for name in made) == 3, "no photo for a missing, a damaged and an outside one"
    for photo in (gallery / "photos").iterdir():
        assert Image.open(photo).format == "JPEG"
    assert {path.name for path in gallery.parent.iterdir()} == {"image_states.pickle", "made", "out.png", "photos"}


def test_missing_photos_are_told(script, gallery, tmp_path, capsys):
    pickle = gallery.parent / "image_states.pickle"
    assert not script.main(["--pickle", str(pickle), "--images_dir", str(tmp_path), "--output", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert "warning: 6 photos missing in the gallery; the first: " in said.err
    assert said.out.strip() == f"Gallery of 6 images: {tmp_path / 'out' / 'index.html'}"


def test_bad_input_is_one_line(script, tmp_path, capsys):
    assert script.main(["--pickle", str(tmp_path / "none.pickle")]) == 2
    assert "none.pickle: no such file" in capsys.readouterr().err
    write_image_states(tmp_path / "empty.pickle", [], [])
    assert script.main(["--pickle", str(tmp_path / "empty.pickle")]) == 2
    assert "holds no image" in capsys.readouterr().err
    with pytest.raises(InputError, match="is a file; choose a folder"):
        make_gallery(["x"], lambda i: (*riding("x.png"), None), tmp_path / "empty.pickle")
    assert script.main(["--predictions", str(tmp_path)]) == 2
    assert "has no NAME.json of main.py --predict; check --predictions" in capsys.readouterr().err


# ---------------------------------------------------------------- the index


@pytest.fixture
def index(page, gallery):
    page.goto("about:blank")  # or the same page with other filters would only be scrolled
    page.goto((gallery / "index.html").as_uri())
    return page


def test_index_shows_every_image_with_its_recall(index):
    assert cards(index) == ["rider 1.png", EVIL_IMAGE, "dog.png", "DOG.jpg", "gone.png", "../out.png"]
    told = index.locator(".card p:first-of-type").all_inner_texts()
    assert told[0] == "recall 50 %: 1 of 2"
    assert told[4:] == ["recall 40 %: 4 of 10", "no relationship annotated"]
    assert index.locator(".card img").count() == 3
    assert index.locator(".card .no-photo").count() == 3
    scores = index.locator(".bar .scores").inner_text()
    assert "6 images" in scores
    assert "(16 of 34)" in scores, "all hits over all annotated relationships"


def test_bars_of_recall_do_not_strike_through_their_labels(index):
    places = index.eval_on_selector_all(
        "#bars button",
        "all => all.map(b => [b.firstChild.getBoundingClientRect().bottom, b.lastChild.getBoundingClientRect().top])",
    )
    assert len(places) == 10
    assert all(bar <= label + 0.5 for bar, label in places)


def test_sorting(index):
    index.select_option("#sort", "worst")
    assert cards(index)[0] == "DOG.jpg"
    assert cards(index)[-1] == "../out.png", "images without annotations come last"
    index.select_option("#sort", "best")
    assert cards(index)[0] == "dog.png"
    assert cards(index)[-1] == "../out.png"
    index.select_option("#sort", "name")
    assert cards(index)[-1] == "rider 1.png"


def test_filtering_by_word_predicate_and_recall(index):
    index.fill("#word", "HORSE")
    assert cards(index) == ["rider 1.png", EVIL_IMAGE]
    assert index.locator("#count").inner_text() == "2 of 6 images"
    index.fill("#word", "gone")
    assert cards(index) == ["gone.png"], "image names are found too"
    index.fill("#word", "zebra")
    assert index.locator("#nothing").is_visible()
    index.fill("#word", "")
    index.select_option("#predicate", label="p7 (4)")
    assert cards(index) == ["dog.png", "DOG.jpg", "gone.png", "../out.png"]
    bar = index.get_by_role("button", name="Recall from 40 to under 50 %: 1 image")
    bar.focus()
    index.keyboard.press("Enter")
    assert bar.get_attribute("aria-pressed") == "true"
    assert cards(index) == ["gone.png"]
    index.locator("#clear").click()
    index.locator(".card").nth(5).wait_for()
    assert index.locator(".card").count() == 6


def test_coming_back_finds_the_filters_again(index):
    index.fill("#word", "horse")
    index.select_option("#sort", "worst")
    index.locator(".card a").first.click()
    index.wait_for_selector("#stage .box")
    index.locator('a[rel="next"]').click()
    index.wait_for_url("**/pages/_img*")
    index.locator("text=All images").click()
    index.wait_for_selector(".card")
    assert cards(index) == ["rider 1.png", EVIL_IMAGE]
    assert index.input_value("#word") == "horse"
    assert index.input_value("#sort") == "worst"


def test_text_from_data_is_only_text(index):
    assert index.locator(f'option:has-text("{EVIL_WORD}")').count() == 1
    assert index.title() == "Scene graphs of 6 images"
    assert index.locator("main img[src='x'], main script").count() == 0


@pytest.mark.slow
def test_thousands_of_cards_come_a_screenful_at_a_time(page, tmp_path):
    card = {"page": "pages/x.html", "thumb": None, "objects": 1, "predicted": 0, "hits": 0, "total": 0, "told": 0}
    cards = [{"name": f"{i}.jpg", "scores": [], **card, "words": set(), "phrases": []} for i in range(3000)]
    _write_index(tmp_path, cards)
    page.goto((tmp_path / "index.html").as_uri())
    assert 50 < page.locator(".card").count() < 500
    page.keyboard.press("End")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.locator(".card").nth(100).wait_for(state="attached")
    assert page.locator("#count").inner_text() == "3,000 of 3,000 images"


# ---------------------------------------------------------------- a folder of predictions, without ground truth


@pytest.fixture(scope="module")
def predicted(script, tmp_path_factory) -> Path:
    """The gallery of three predictions as --predict writes them: two photos are where the graphs say, one is gone."""
    folder = tmp_path_factory.mktemp("predicted")
    graphs = {name: riding(f"{name}.png")[1] for name in ("rider", "zebra", "gone")}
    for graph in graphs.values():
        graph["relationships"][1] |= {"subject": 2, "object": 0}
    graphs["rider"]["relationships"][1]["predicate"] = "near"
    graphs["zebra"]["objects"][1] |= {"name": "zebra", "related_as": "horse", "stand_in": True}
    for edge in graphs["zebra"]["relationships"]:
        edge["score"] /= 4
    for name, graph in graphs.items():
        photo = folder / "photos" / f"{name}.png"
        (folder / "predictions").mkdir(exist_ok=True)
        (folder / "photos").mkdir(exist_ok=True)
        (folder / "predictions" / f"{name}.json").write_text(json.dumps({**graph, "photo": str(photo)}))
        if name != "gone":
            Image.new("RGB", (300, 200), "#7a9e7e").save(photo)
    (folder / "predictions" / ".settings.json").write_text("{}")
    assert not script.main(["--predictions", str(folder / "predictions"), "--output", str(folder / "made")])
    return folder / "made"


@pytest.fixture
def predictions(page, predicted):
    page.goto("about:blank")
    page.goto((predicted / "index.html").as_uri())
    return page


def test_a_gallery_of_predictions_has_no_recall(predictions):
    assert cards(predictions) == ["gone.png", "rider.png", "zebra.png"]
    assert predictions.locator(".card").nth(2).locator("p").all_text_contents() == [
        "man riding zebra", f"tree {EVIL_WORD} man", "3 objects, 2 relationships",
    ]  # fmt: skip
    assert predictions.locator(".card img").count() == 2
    assert "recall" not in predictions.locator("body").inner_text().lower()
    assert not predictions.locator("#histogram").is_visible()
    assert predictions.locator("#sort option").all_inner_texts() == [
        "as in the data", "highest score first", "most objects first", "by name",
    ]  # fmt: skip


def test_predictions_are_filtered_by_word_predicate_and_score_of_one_phrase(predictions):
    predictions.fill("#word", "horse")
    assert cards(predictions) == ["gone.png", "rider.png"]
    predictions.select_option("#predicate", label="near (1)")
    assert cards(predictions) == [], "it is the tree that is near"
    predictions.fill("#word", "tree")
    assert cards(predictions) == ["rider.png"]
    predictions.fill("#score", "50")
    assert predictions.locator("#least").inner_text() == "0.40"
    assert cards(predictions) == [], "near scores 0.3, riding 0.8: it is not near that scores 0.4"
    predictions.fill("#word", "horse")
    predictions.select_option("#predicate", label="riding (3)")
    assert cards(predictions) == ["gone.png", "rider.png"]
    predictions.fill("#word", "")
    predictions.fill("#score", "20")
    assert cards(predictions) == ["gone.png", "rider.png", "zebra.png"]
    predictions.locator(".card a").nth(2).click()
    predictions.wait_for_selector("#stage .box")
    predictions.locator("text=All images").click()
    predictions.wait_for_selector(".card")
    assert predictions.input_value("#score") == "20", "coming back finds the filters again"
    predictions.select_option("#sort", "sure")
    assert cards(predictions)[-1] == "zebra.png"
    predictions.locator("#clear").click()
    predictions.wait_for_function("document.getElementById('score').value === '0'")


def test_a_predictions_page_has_one_graph_and_the_walk(predictions):
    predictions.locator(".card a").nth(1).click()
    predictions.wait_for_selector("#stage .box")
    assert predictions.locator(".panel h2").all_inner_texts() == ["Scene graph"]
    assert predictions.locator(".scores li").count() == 0
    assert predictions.get_by_role("region", name="Relationships").locator("th").all_inner_texts() == [
        "#",
        "phrase",
        "score",
    ]
    assert predictions.locator("#walk").is_visible()


def test_thin_photos_and_photos_of_another_size(script, tmp_path, capsys):
    (tmp_path / "p").mkdir()
    for name, size, more in (("thin", (9000, 1), {}), ("half", (150, 100), {"width": 300, "height": 200})):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
        graph = {**riding(f"{name}.png")[1], "photo": str(tmp_path / f"{name}.png"), **more}
        (tmp_path / "p" / f"{name}.json").write_text(json.dumps(graph))
    assert not script.main(["--predictions", str(tmp_path / "p"), "--output", str(tmp_path / "g")])
    said = capsys.readouterr().err
    assert "1 of 1 photos have another size than was annotated (half.png: 150 x 100, annotated 300 x 200)" in said
    assert "boxes cannot be of their photos" in said
    for name in ("thin", "half"):
        assert Image.open(tmp_path / "g" / "thumbs" / f"{name}.jpg").size == (320, 240)


def test_photos_of_predictions_are_found_in_a_folder_too(predicted, tmp_path):
    made = prediction_gallery(predicted.parent / "predictions", tmp_path / "g", predicted.parent / "photos")
    assert made.images == 3
    assert len(made.missing) == 1
    assert len(list((tmp_path / "g" / "photos").iterdir())) == 2


def test_an_image_that_is_gone_is_gone_from_the_gallery_too(predicted, tmp_path):
    graphs, made = tmp_path / "predictions", tmp_path / "g"
    shutil.copytree(predicted.parent / "predictions", graphs)
    prediction_gallery(graphs, made)
    (made / "photos" / "my own.jpg").write_bytes(b"")
    (made / "pages" / f".zebra.html.{'a' * 8}.tmp").write_bytes(b"")  # of a run that was killed
    (graphs / "zebra.json").unlink()
    assert prediction_gallery(graphs, made).images == 2
    left = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert {name for name in left if "zebra" in name} == set()
    assert {"photos/my own.jpg", "photos/rider.jpg", "thumbs/rider.jpg", "pages/rider.html"} <= left
    (made / "index_data.js").write_text('window.gallery = {"images": [{"page": "pages/../../predictions/x.html"}]};')
    prediction_gallery(graphs, made)
    assert {path.name for path in graphs.glob("[!.]*")} == {"rider.json", "gone.json"}


# ---------------------------------------------------------------- the page of an image


@pytest.fixture
def rider(page, gallery):
    page.goto((gallery / "pages" / "rider 1.html").as_uri())
    return page


def test_page_has_photo_graphs_lists_and_scores(rider):
    assert rider.title() == "rider 1.png"
    assert rider.eval_on_selector("#stage img", "img => img.complete && img.naturalWidth") == 300
    assert rider.locator(".panel h2").all_inner_texts() == ["Ground truth", "Prediction"]
    assert rider.locator(".box.of-prediction").count() == 3
    assert "relationships, R@50 50 % (1 of 2)" in rider.locator(".scores").inner_text()
    rows = rider.get_by_role("region", name="Predicted relationships").locator("tbody tr")
    assert rows.nth(0).inner_text().split("\t") == ["1", "man 1 riding horse 2", "0.80", "√ hit"]
    assert rows.nth(1).inner_text().split("\t") == ["2", f"horse 2 {EVIL_WORD} man 1", "0.30", "× not annotated"]
    assert rider.locator("#p-r1").count() == 0, "a pair shows its most confident relationship, the list shows both"


def test_boxes_lie_where_the_data_says(rider):
    photo = rider.locator("#stage img").bounding_box()
    box = rider.locator('.box[data-key="p-o1"]').bounding_box()
    scale = photo["width"] / 300
    for key, value in {"width": 120 * scale, "height": 100 * scale}.items():
        assert box[key] == pytest.approx(value, abs=1)
    assert box["x"] - photo["x"] == pytest.approx(30 * scale, abs=1)
    assert box["y"] - photo["y"] == pytest.approx(60 * scale, abs=1)


def test_hovering_a_node_lights_its_boxes_and_counterparts(rider):
    rider.hover("#p-r0")
    assert lit(rider) == {"p-r0", "p-o0", "p-o1", "t-r0", "t-o0", "t-o1"}
    assert rider.locator('.box[data-key="t-o1"]').is_visible(), "the annotated box too"
    assert rider.locator("#caption").inner_text() == "man 1 riding horse 2, score 0.80, hit, prediction"
    assert rider.locator("#arrows line").count() > 0
    rider.mouse.move(1, 1)
    assert lit(rider) == set()


def test_hovering_a_box_lights_its_nodes(rider):
    rider.hover('.box[data-key="p-o2"]')
    assert lit(rider) == {"p-o2", "p-a0", "t-o2"}
    rider.mouse.move(1, 1)


def test_hovering_a_line_of_a_list(rider):
    rider.get_by_role("button", name="horse 2 near tree 3", exact=True).hover()
    assert lit(rider) == {"t-r1", "t-o1", "t-o2"}
    rider.mouse.move(1, 1)


def test_keyboard_walks_a_graph_and_keeps_a_node_lit(rider):
    stops = rider.locator('.panel[aria-label="Prediction"] .node[tabindex="0"]')
    assert stops.count() == 1, "a graph is one tab stop"
    stops.focus()
    assert "p-o0" in lit(rider)
    rider.keyboard.press("ArrowDown")
    first = rider.evaluate("document.activeElement.id")
    assert first != "p-o0"
    assert first in lit(rider)
    rider.keyboard.press("Enter")
    rider.mouse.move(1, 1)
    rider.evaluate("document.activeElement.blur()")
    assert first in lit(rider), "kept"
    assert rider.locator(f"#{first}").get_attribute("aria-pressed") == "true"
    rider.keyboard.press("Escape")
    assert lit(rider) == set()


def test_screen_readers_hear_every_node(rider):
    tree = rider.locator('.panel[aria-label="Prediction"] .canvas').aria_snapshot()
    for words in ("man 1, score 0.90, hit", "tree 3 is tall, score 0.60, hit", "man 1 riding horse 2, score 0.80, hit"):
        assert words in tree


def test_slider_follows_the_walk(rider):
    rider.locator("#step").focus()
    rider.keyboard.press("Home")
    assert rider.locator("#told").inner_text() == "Before the first of 4 steps."
    assert rider.locator("#p-r0.later").count() == 1
    rider.keyboard.press("ArrowRight")
    assert rider.locator("#told").inner_text() == "Step 1 of 4: starts with man 1. Says nothing new."
    rider.keyboard.press("ArrowRight")
    assert (
        rider.locator("#told").inner_text()
        == "Step 2 of 4: looks from man 1 to horse 2. Says: man 1 riding horse 2 (hit)."
    )
    now = set(rider.eval_on_selector_all(".node.now, .box.now", "all => all.map(e => e.id || e.dataset.key)"))
    assert now == {"p-o0", "p-o1", "p-r0"}
    assert rider.locator("#p-a0.later").count() == 1
    rider.locator("#forth").click()
    rider.locator("#forth").click()
    assert "tree 3 is tall (hit)" in rider.locator("#told").inner_text()
    rider.locator("#forth").click()
    assert rider.locator(".later, .now").count() == 0
    rider.locator("#play").click()
    assert rider.locator("#told").inner_text() == "Before the first of 4 steps."
    rider.locator("#play").click()
    assert rider.locator("#play").inner_text() == "Play"


def test_switching_boxes(rider):
    truth = rider.locator('.box[data-key="t-o0"]')
    assert not truth.is_visible()
    rider.get_by_role("button", name="Annotated boxes").click()
    assert truth.is_visible()
    rider.get_by_role("button", name="Predicted boxes").click()
    rider.mouse.move(1, 1)
    assert not rider.locator('.box[data-key="p-o2"]').is_visible()


def test_zooming(rider):
    svg = rider.locator('.panel[aria-label="Prediction"] svg')
    before = svg.bounding_box()["width"]
    rider.locator('.panel[aria-label="Prediction"] [data-zoom="in"]').click()
    assert svg.bounding_box()["width"] == pytest.approx(1.25 * before, rel=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(rider, scheme):
    """Text against its ground, WCAG 2's 4.5 to 1, on what the browser computes."""
    rider.emulate_media(color_scheme=scheme)
    pairs = {
        "node": ("#p-r0 text:last-of-type", "fill", "#p-r0 path", "fill"),
        "object": ("#p-o0 text:nth-of-type(3)", "fill", "#p-o0 polygon", "fill"),
        "attribute": ("#p-a0 text:nth-of-type(2)", "fill", "#p-a0 ellipse", "fill"),
        "sign": ("#p-o0 text:first-of-type", "fill", "#p-o0 polygon", "fill"),
        "caption": ("#caption", "color", "body", "background-color"),
        "status": (".status.extra", "color", ".list", "background-color"),
    }

    def luminance(colour: str) -> float:
        values = [int(v) / 255 for v in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    grounds = []
    for what, (text, property_, ground, ground_property) in pairs.items():
        read = "(e, p) => getComputedStyle(e).getPropertyValue(p)"
        colours = [
            luminance(rider.locator(text).first.evaluate(read, property_)),
            luminance(rider.locator(ground).first.evaluate(read, ground_property)),
        ]
        grounds.append(colours[1])
        dark, light = sorted(colours)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, what
    assert (grounds[-1] > 0.5) == (scheme == "light")
    rider.emulate_media(color_scheme="light")


def test_page_without_photo_and_page_with_an_evil_name(page, gallery):
    page.goto((gallery / "pages" / "gone.html").as_uri())
    assert page.get_by_role("img", name="No photo").count() == 1
    assert page.locator(".box.of-prediction").count() == 2
    page.locator('a[rel="next"]').click()
    page.wait_for_url("**/out.html")
    page.goto(next(path for path in (gallery / "pages").iterdir() if "onerror" in path.name).as_uri())
    assert page.locator("h1").inner_text() == EVIL_IMAGE
    assert page.eval_on_selector("#stage img", "img => img.naturalWidth") == 300


def test_one_page_by_visualize_needs_no_other_file(page, tmp_path):
    from drawing.pictures import draw_graph

    truth, prediction = riding("rider.png")
    draw_graph(prediction, tmp_path / "alone.html", image=Image.new("RGB", (300, 200), "#7a9e7e"))
    page.goto((tmp_path / "alone.html").as_uri())
    assert page.locator(".panel h2").all_inner_texts() == ["Scene graph"]
    assert page.eval_on_selector("#stage img", "img => img.naturalWidth") == 300
    page.hover("#p-r0")
    assert lit(page) == {"p-r0", "p-o0", "p-o1"}
    draw_graph({**truth, "objects": [], "attributes": [], "relationships": []}, tmp_path / "empty.html")
    page.goto((tmp_path / "empty.html").as_uri())
    assert page.locator("text=no objects").count() == 1


def test_on_a_narrow_screen_everything_stands_in_one_column(page, gallery, tmp_path):
    from drawing.pictures import draw_graph

    draw_graph(riding("r.png")[1], tmp_path / "alone.html", image=Image.new("RGB", (300, 200)))
    wide = page.viewport_size
    page.set_viewport_size({"width": 400, "height": 800})
    for path in (tmp_path / "alone.html", gallery / "pages" / "rider 1.html"):
        page.goto(path.as_uri())
        parts = page.eval_on_selector_all(
            ".look, .panel, .list", "all => all.map(e => e.getBoundingClientRect().width)"
        )
        assert len(parts) >= 4
        assert all(300 < width <= 400 for width in parts)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.set_viewport_size(wide)
