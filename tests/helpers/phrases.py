"""Annotated images and predictions of a few words, for the tests of the metrics."""

from fractions import Fraction

from files.splits import ImageRecord, Labels, ObjectRecord, RelationshipRecord

FAR = (100, 100, 109, 109)


def box_iou(a, b):
    """IoU of integer boxes, pixel by pixel."""
    pixels_a, pixels_b = ({(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)} for x1, y1, x2, y2 in (a, b))
    return Fraction(len(pixels_a & pixels_b), len(pixels_a | pixels_b))


def around(a, b):
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def relation(subject_box, object_box, score=1.0, names=("man", "ride", "horse")):
    subject, predicate, other = names
    return {
        "subject": subject,
        "predicate": predicate,
        "object": other,
        "subject_box": list(subject_box),
        "object_box": list(object_box),
        "score": score,
    }


def attribute(box, score=1.0, names=("man", "tall")):
    return {"entity": names[0], "attribute": names[1], "box": list(box), "score": score}


def image(name, relations=(), attributes=()):
    """A ground-truth record: ((subject box, object box, names), …), ((box, names), …); each box an object."""
    objects, edges = [], []

    def add(box, entity, words=()):
        x1, y1, x2, y2 = box
        objects.append(ObjectRecord(len(objects), x1, y1, x2 - x1 + 1, y2 - y1 + 1, entity, list(words)))
        return len(objects) - 1

    for subject_box, object_box, names in relations:
        subject, other = add(subject_box, names[0]), add(object_box, names[2])
        edges.append(RelationshipRecord(len(edges), names[1], subject, other))
    for box, names in attributes:
        add(box, names[0], [names[1]])
    return ImageRecord(name, Labels(0, objects, edges))


RIDE, FEED = ("man", "ride", "horse"), ("man", "feed", "horse")
A, B = (0, 0, 9, 9), (20, 0, 29, 9)
ONE_RIDE = [image("1.jpg", [(A, B, RIDE)])]
