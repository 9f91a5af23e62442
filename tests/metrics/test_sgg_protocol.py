"""metrics/sgg.py: the protocol of scene graph generation rule by rule, and against a slow second implementation."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phrases import FAR, FEED, ONE_RIDE, RIDE, A, B, box_iou, image, relation

from evaluation import evaluate, train_triplets
from files.predictions import Phrases
from metrics.sgg import one_predicate_a_pair

NEAR_A = (0, 0, 9, 8)  # 90 of A's 100 pixels


def scores(relations, truth=ONE_RIDE, ks=(50,), seen=None, **more):
    """What evaluation.py says of predictions of 1.jpg, or of {image: predictions}."""
    found = relations if isinstance(relations, dict) else {"1.jpg": relations}
    predictions = {name: {"relationships": items} for name, items in found.items()}
    return evaluate(predictions, truth, seen, ks, protocol="sgg", **more)


def recall(relations, truth=ONE_RIDE, ks=(50,), constraint=True):
    task = scores(relations, truth, ks)["graph_constraint" if constraint else "no_graph_constraint"]
    return [task["recall"][str(k)] for k in ks]


def vrd_recall(relations, truth):
    return evaluate({"1.jpg": {"relationships": relations}}, truth)["relationship"]["recall"]["50"]


# ---------------------------------------------------------------- where it differs from VRD's protocol


def test_one_prediction_finds_every_annotation_that_it_matches():
    twice = [image("1.jpg", [(A, B, RIDE), (NEAR_A, B, RIDE)])]
    assert recall([relation(A, B)], twice) == [100]
    assert vrd_recall([relation(A, B)], twice) == 50


def test_several_predictions_of_one_annotation_find_it_once():
    truth = [image("1.jpg", [(A, B, RIDE), (FAR, B, RIDE)])]
    found = [relation(A, B, 0.9), relation(NEAR_A, B, 0.8)]
    assert recall(found, truth) == [50]
    assert vrd_recall(found, truth) == 50
    # one to one, the second prediction would be free for the second annotation
    close = [image("1.jpg", [(A, B, RIDE), (NEAR_A, B, RIDE), (FAR, B, RIDE), (FAR, A, RIDE)])]
    assert recall(found, close) == [50]
    assert vrd_recall(found, close) == 50
    assert vrd_recall(found[:1], close) == 25
    assert recall(found[:1], close) == [50]


def test_recall_is_the_mean_over_images_that_have_relationships():
    truth = [*ONE_RIDE, image("2.jpg", [(A, B, RIDE), (A, B, FEED), (B, A, RIDE)]), image("empty.jpg")]
    found = {"1.jpg": [relation(A, B)], "2.jpg": [relation(A, B)], "empty.jpg": [relation(A, B)]}
    task = scores(found, truth)["graph_constraint"]
    assert (task["images"], task["total"], task["hits"]["50"]) == (2, 4, 2)
    assert task["recall"]["50"] == pytest.approx(100 * (1 + 1 / 3) / 2)  # VRD's: 2 of 4
    predictions = {name: {"relationships": items} for name, items in found.items()}
    assert evaluate(predictions, truth)["relationship"]["recall"]["50"] == 50


def test_an_image_for_which_nothing_is_predicted_counts_as_zero():
    truth = [*ONE_RIDE, image("2.jpg", [(A, B, RIDE)])]
    assert recall({"1.jpg": [relation(A, B)]}, truth) == [50]
    assert recall({"1.jpg": [relation(A, B)], "2.jpg": []}, truth) == [50]


def test_mean_recall_takes_each_predicate_over_the_images_that_have_it():
    truth = [
        image("1.jpg", [(A, B, RIDE), (B, A, RIDE)]),
        image("2.jpg", [(A, B, RIDE), (A, FAR, FEED)]),
    ]
    found = {"1.jpg": [relation(A, B)], "2.jpg": [relation(A, B), relation(A, FAR, names=FEED)]}
    task = scores(found, truth)["graph_constraint"]
    # ride: (1/2 + 1) / 2; feed, in one image: 1
    assert task["mean_recall"]["50"] == pytest.approx(100 * (0.75 + 1) / 2)
    predictions = {name: {"relationships": items} for name, items in found.items()}
    vrd = evaluate(predictions, truth)["relationship"]["mean_recall"]["50"]
    assert vrd == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_mean_recall_is_over_the_whole_vocabulary():
    found = [relation(A, B)]
    assert scores(found)["graph_constraint"]["mean_recall"]["50"] == 100
    assert scores(found, predicates=["ride", "feed", "pet", "eat"])["graph_constraint"]["mean_recall"]["50"] == 25
    seen = train_triplets([image("t.jpg", [(A, B, FEED)])])
    assert scores(found, seen=seen)["graph_constraint"]["mean_recall"]["50"] == 50


# ---------------------------------------------------------------- graph constraint


def test_with_graph_constraint_a_pair_has_its_most_confident_predicate():
    truth = [image("1.jpg", [(A, B, RIDE), (A, B, FEED)])]
    found = [relation(A, B, 0.9), relation(A, B, 0.8, FEED)]
    assert recall(found, truth) == [50]
    assert recall(found, truth, constraint=False) == [100]
    assert recall([relation(A, B, 0.8), relation(A, B, 0.9, FEED)], ONE_RIDE) == [0]


def test_of_equally_confident_predicates_the_first_is_taken():
    assert recall([relation(A, B), relation(A, B, names=FEED)]) == [100]
    assert recall([relation(A, B, names=FEED), relation(A, B)]) == [0]


def test_what_the_constraint_leaves_out_takes_no_place():
    truth = [image("1.jpg", [(A, B, RIDE), (B, A, RIDE)])]
    found = [relation(A, B, 0.9), relation(A, B, 0.8, FEED), relation(B, A, 0.7)]
    assert recall(found, truth, (2,)) == [100]
    assert recall(found, truth, (2,), constraint=False) == [50]


def test_other_boxes_or_other_names_are_another_pair():
    truth = [image("1.jpg", [(A, B, FEED), (A, B, ("dog", "feed", "horse"))])]
    same, box, name = (
        [relation(A, B, 0.9), second]
        for second in (
            relation(A, B, 0.8, FEED),
            relation(NEAR_A, B, 0.8, FEED),
            relation(A, B, 0.8, ("dog", "feed", "horse")),
        )
    )
    assert [recall(found, truth) for found in (same, box, name)] == [[0], [50], [50]]


def test_two_objects_that_agree_in_box_and_name_are_two_pairs():
    """Annotators drew some objects twice; both pairs of such twins have a predicate of their own."""
    twins = [relation(A, B, 0.9), relation(A, B, 0.8), relation(A, B, 0.7, FEED), relation(A, B, 0.6, FEED)]
    rows = Phrases(
        np.zeros(4, int),
        np.array([[0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1, 1]]),
        np.array([[A, B]] * 4, float),
        np.array([item["score"] for item in twins]),
    )
    assert one_predicate_a_pair(rows).tolist() == [True, True, False, False]
    assert recall([*twins, relation(B, A, 0.1)], [image("1.jpg", [(B, A, RIDE)])], (2, 3)) == [0, 100]


def test_minus_zero_is_zero():
    rows = [relation((0, 0, 9, 9), B, 0.9), relation((-0.0, 0, 9, 9), B, 0.8, FEED)]
    assert recall(rows, [image("1.jpg", [(A, B, FEED)])]) == [0]


# ---------------------------------------------------------------- the rest


def test_both_boxes_must_overlap_by_half_inclusive():
    assert recall([relation((0, 0, 9, 4), B)]) == [100]  # exactly half
    assert recall([relation((0, 0, 9, 3), B)]) == [0]
    assert recall([relation(A, (20, 0, 29, 3))]) == [0]
    assert recall([relation(B, A)]) == [0]


def test_zero_shot_recall_is_over_images_with_unseen_triplets():
    seen = train_triplets([image("t.jpg", [(A, B, RIDE)])])
    truth = [image("1.jpg", [(A, B, RIDE), (A, FAR, FEED), (B, A, FEED)]), image("2.jpg", [(A, B, RIDE)])]
    found = {"1.jpg": [relation(A, B, 0.9), relation(A, FAR, 0.8, FEED)], "2.jpg": []}
    results = scores(found, truth, (1, 2), seen)
    task = results["zero_shot_graph_constraint"]
    assert (task["images"], task["total"]) == (1, 2)
    assert task["recall"] == {"1": 0, "2": 50}  # the seen triplet still takes a place
    assert "zero_shot_graph_constraint" not in scores(found, truth)


def test_each_predicate_has_its_row():
    truth = [image("1.jpg", [(A, B, RIDE), (B, A, RIDE)]), image("2.jpg", [(A, B, RIDE), (A, FAR, FEED)])]
    found = {"1.jpg": [relation(A, B)], "2.jpg": [relation(A, FAR, names=FEED)]}
    rows = scores(found, truth)["predicates"]
    assert list(rows) == ["ride", "feed"]
    assert (rows["ride"]["annotated"], rows["ride"]["images"]) == (3, 2)
    assert rows["ride"]["graph_constraint"] == {"50": 25} == rows["ride"]["no_graph_constraint"]
    assert rows["feed"]["graph_constraint"] == {"50": 100}


def test_nothing_annotated_and_nothing_predicted_give_no_numbers():
    results = scores([], [image("1.jpg")], seen=set(), resamples=10)
    assert results["graph_constraint"]["total"] == 0
    assert results["graph_constraint"]["recall"] == {"50": None} == results["zero_shot_graph_constraint"]["recall"]
    assert recall([]) == [0]


# ---------------------------------------------------------------- a slow second implementation


def slow_figures(images, ks, vocabulary, seen, constraint):
    """R, mR and zR by loops over index-based predictions, as exact fractions.

    images: (annotated objects [(box, name)], triplets [(subject, predicate, object)], detected objects, {pair:
    {predicate: score}}), triplets and pairs by object number.
    """
    result = {}
    for k in ks:
        recalls, by_predicate, zero_shot = [], {name: [] for name in vocabulary}, []
        for objects, triplets, detected, pairs in images:
            if not triplets:
                continue
            said = [(score, s, p, o) for (s, o), chances in pairs.items() for p, score in chances.items()]
            if constraint:
                said = []
                for (s, o), chances in pairs.items():
                    best = max(chances.values())
                    said.append(next((score, s, p, o) for p, score in chances.items() if score == best))
            said = sorted(said, key=lambda row: -row[0])[:k]
            found = set()
            for _, s, p, o in said:
                for i, (gs, gp, go) in enumerate(triplets):
                    same = p == gp and detected[s][1] == objects[gs][1] and detected[o][1] == objects[go][1]
                    near = all(box_iou(detected[a][0], objects[b][0]) >= Fraction(1, 2) for a, b in ((s, gs), (o, go)))
                    if same and near:
                        found.add(i)
            recalls.append(Fraction(len(found), len(triplets)))
            for name in vocabulary:
                mine = [i for i, triplet in enumerate(triplets) if triplet[1] == name]
                if mine:
                    by_predicate[name].append(Fraction(len(found & set(mine)), len(mine)))
            new = [i for i, (s, p, o) in enumerate(triplets) if (objects[s][1], p, objects[o][1]) not in seen]
            if new:
                zero_shot.append(Fraction(len(found & set(new)), len(new)))
        means = [sum(values) / len(values) if values else 0 for values in by_predicate.values()]
        result[k] = (
            sum(recalls) / len(recalls) if recalls else None,
            Fraction(sum(means), len(vocabulary)) if recalls else None,
            sum(zero_shot) / len(zero_shot) if zero_shot else None,
        )
    return result


some_box = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
objects = st.lists(st.tuples(some_box, st.sampled_from("ab")), min_size=1, max_size=4)
number = st.integers(0, 3)
a_scene = st.tuples(
    objects,
    st.lists(st.tuples(number, st.sampled_from("pq"), number), max_size=5),
    objects.map(lambda items: list(dict.fromkeys(items))),  # no two agree in box and name
    st.dictionaries(
        st.tuples(number, number),
        st.dictionaries(st.sampled_from("pqr"), st.sampled_from([0.1, 0.5, 0.9]), min_size=1),
        max_size=6,
    ),
)
triplet = st.tuples(st.sampled_from("ab"), st.sampled_from("pqr"), st.sampled_from("ab"))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(scenes=st.lists(a_scene, max_size=4), seen=st.sets(triplet, max_size=5))
def test_agrees_with_the_slow_implementation(scenes, seen):
    ks, vocabulary = (1, 2, 4), ["p", "q", "r", "never"]
    images, truth, predictions = [], [], {}
    for i, (annotated, triplets, detected, pairs) in enumerate(scenes):
        triplets = [(s % len(annotated), p, o % len(annotated)) for s, p, o in triplets]
        pairs = {(s % len(detected), o % len(detected)): chances for (s, o), chances in pairs.items()}
        images.append((annotated, triplets, detected, pairs))
        truth.append(
            image(
                f"{i}.jpg",
                [(annotated[s][0], annotated[o][0], (annotated[s][1], p, annotated[o][1])) for s, p, o in triplets],
            )
        )
        predictions[f"{i}.jpg"] = {
            "relationships": [
                relation(detected[s][0], detected[o][0], score, (detected[s][1], p, detected[o][1]))
                for (s, o), chances in pairs.items()
                for p, score in chances.items()
            ]
        }
    results = evaluate(predictions, truth, seen, ks, protocol="sgg", predicates=vocabulary)
    for name in ("graph_constraint", "no_graph_constraint"):
        expected = slow_figures(images, ks, vocabulary, seen, name == "graph_constraint")
        for k, fractions in expected.items():
            ours = (
                results[name]["recall"][str(k)],
                results[name]["mean_recall"][str(k)],
                results[f"zero_shot_{name}"]["recall"][str(k)],
            )
            for mine, exact in zip(ours, fractions, strict=True):
                assert (mine is None) == (exact is None)
                assert mine is None or abs(mine - float(100 * exact)) <= 1e-12
