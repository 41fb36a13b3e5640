import numpy as np

from agentrec.testing.worlds import tiny_world


def test_every_target_follows_the_last_item_in_both_parts():
    world = tiny_world()
    for part in ("validation", "test"):
        held = world.reveal(part)
        last = np.array([row[-1] for row in held.histories])
        np.testing.assert_array_equal(world.next_item[last], held.targets)
        assert held.part == part


def test_parts_fit_together():
    world = tiny_world()
    validation, test = world.reveal("validation"), world.reveal("test")
    for train, known, seen, target in zip(
        world.train, validation.histories, test.histories, validation.targets, strict=True
    ):
        assert known.tolist() == train.tolist()
        assert seen.tolist() == [*train.tolist(), target]
    assert min(world.train.lengths) >= 3


def test_the_cycles_cover_the_catalogue_and_close():
    world = tiny_world(num_cycles=3, cycle_length=5)
    assert sorted(world.next_item.tolist()) == list(range(15))
    item = 7
    for _ in range(5):
        item = int(world.next_item[item])
    assert item == 7
    assert len({*world.catalogue.titles}) == 15
    after = world.catalogue.titles[world.next_item[world.catalogue.titles.index("cycle 2 item 4")]]
    assert after == "cycle 2 item 0"


def test_a_world_is_its_seed():
    assert tiny_world().fingerprint == tiny_world().fingerprint
    assert tiny_world().fingerprint != tiny_world(seed=1).fingerprint
