"""Every leak of a split is planted by hand and must be found; clean splits have none."""

import numpy as np
import pytest

from agentrec.core.types import Catalogue, HeldOut, Histories
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.given import given_split
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import PARTS, Split, global_time, leave_one_out
from agentrec.evaluation.leaks import split_leaks as leaks
from agentrec.evaluation.leaks.held_out_rows import held_out_starts
from agentrec.testing.worlds import tiny_world


def tiny_dataset():
    world = tiny_world()
    lengths = world.sequences.lengths
    order = np.concatenate([np.arange(length) for length in lengths])
    rows = Interactions.sort(np.repeat(world.sequences.users, lengths), world.sequences.items, order)
    return Dataset("tiny", [f"u{user}" for user in range(len(lengths))], world.catalogue, rows)


def shop():
    return Shop.generate(ShopConfig(num_users=150, num_items=100)).dataset


def small(users, items, order, titles=("tea", "pot", "cup", "jug"), *, timed=True):
    catalogue = Catalogue(tuple(f"i{i}" for i in range(len(titles))), {"title": tuple(titles)})
    rows = Interactions.sort(np.array(users), np.array(items), np.array(order), has_timestamps=timed)
    return Dataset("small", [f"u{user}" for user in range(max(users) + 1)], catalogue, rows)


def rebuilt(dataset, split, *, train=None, **parts):
    """The split with some parts replaced, as a careless program might make it."""
    held = {part: parts.get(part, split.reveal(part)) for part in PARTS}
    return Split(dataset, split.method, split.train if train is None else train, held, split.summary())


def found(dataset, split):
    return {finding.check: finding for finding in leaks.check_split(dataset, split) if finding.violations}


@pytest.mark.parametrize("make", [tiny_dataset, shop])
def test_a_clean_split_has_no_leak_and_no_warning(make):
    dataset = make()
    findings = leaks.check_split(dataset, leave_one_out(dataset))
    assert [finding.check for finding in findings if finding.violations and finding.severity != "info"] == []
    assert all(finding.checked > 0 for finding in findings if finding.severity == "leak")
    assert not any(finding.is_leak for finding in findings)


def test_a_clean_split_in_time_has_none_and_trains_on_nothing_later():
    dataset = shop()
    clean = found(dataset, global_time(dataset))
    assert {finding.severity for finding in clean.values()} <= {"info"}
    assert "later_training_rows" not in clean
    assert "later_training_rows" in found(dataset, leave_one_out(dataset))


@pytest.mark.parametrize("method", [leave_one_out, global_time])
def test_starts_are_where_the_split_holds_out(method):
    dataset = shop()
    split, histories = method(dataset), dataset.histories()
    for part in PARTS:
        held, starts = split.reveal(part), held_out_starts(dataset, split, part)
        for user, history, target in zip(held.histories.users, held.histories, held.targets, strict=True):
            assert histories[user][: starts[user]].tolist() == history.tolist()
            assert histories[user][starts[user]] == target


def test_training_on_whole_histories_is_found_for_every_user():
    dataset = tiny_dataset()
    planted = found(dataset, rebuilt(dataset, leave_one_out(dataset), train=dataset.histories()))
    finding = planted["held_out_in_train"]
    assert (finding.violations, finding.checked, finding.is_leak) == (60, 60, True)
    assert len(finding.examples) == 5
    assert finding.examples[0].startswith("user 'u0' is trained on held-out 'cycle ")
    assert "60 of 60 users" in finding.sentence()


def test_one_validation_target_in_train_is_found():
    dataset = shop()
    split = leave_one_out(dataset)
    rows = [row.tolist() for row in split.train]
    rows[7].append(int(split.reveal("validation").targets[7]))
    planted = found(dataset, rebuilt(dataset, split, train=Histories.from_lists(rows, split.train.users.tolist())))
    assert planted["held_out_in_train"].violations == 1
    assert dataset.user_ids[7] in planted["held_out_in_train"].examples[0]


def test_a_training_row_after_the_cut_is_found():
    dataset = shop()
    split = global_time(dataset)
    whole = dataset.histories().take(split.train.users)
    late = int((whole.lengths > split.train.lengths).sum())
    planted = found(dataset, rebuilt(dataset, split, train=whole))
    assert planted["held_out_in_train"].violations == late > 0


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("method", [leave_one_out, global_time])
def test_the_target_in_its_own_history_is_found(method, part):
    dataset = shop()
    split = method(dataset)
    held = split.reveal(part)
    rows = [[*row.tolist(), target] for row, target in zip(held.histories, held.targets.tolist(), strict=True)]
    leaky = HeldOut(part, Histories.from_lists(rows, held.histories.users.tolist()), held.targets)
    planted = found(dataset, rebuilt(dataset, split, **{part: leaky}))
    finding = planted[f"future_in_{part}_history"]
    assert finding.violations == finding.facts["holding_the_target"] == len(held)
    assert finding.is_leak


def test_the_test_target_in_the_validation_history_is_found():
    dataset = shop()
    split = leave_one_out(dataset)
    held, late = split.reveal("validation"), split.reveal("test").targets
    rows = [row.tolist() for row in held.histories]
    rows[3] = [int(late[3]), *rows[3]]
    leaky = HeldOut("validation", Histories.from_lists(rows, held.histories.users.tolist()), held.targets)
    planted = found(dataset, rebuilt(dataset, split, validation=leaky))
    assert planted["future_in_validation_history"].violations == 1
    assert dataset.catalogue.titles[late[3]] in planted["future_in_validation_history"].examples[0]


def test_missing_and_shuffled_rows_are_warnings_not_leaks():
    dataset = shop()
    split = leave_one_out(dataset)
    held = split.reveal("test")
    rows = [row.tolist() for row in held.histories]
    rows[0], rows[1] = rows[0][1:], rows[1][::-1]
    altered = HeldOut("test", Histories.from_lists(rows, held.histories.users.tolist()), held.targets)
    planted = found(dataset, rebuilt(dataset, split, test=altered))
    assert planted["unfaithful_test_history"].violations == 2
    assert not any(finding.is_leak for finding in planted.values())


def test_targets_of_other_rows_are_a_warning():
    dataset = shop()
    split = leave_one_out(dataset)
    held = split.reveal("test")
    moved = HeldOut("test", held.histories, (held.targets + 1) % dataset.num_items)
    assert found(dataset, rebuilt(dataset, split, test=moved))["unfaithful_test_history"].violations == len(held)


def test_a_split_of_another_name_is_taken_by_its_word():
    dataset = shop()
    ours = leave_one_out(dataset)
    held = {part: ours.reveal(part) for part in PARTS}
    assert not any(f.is_leak for f in leaks.check_split(dataset, Split(dataset, "mine", ours.train, held, {})))
    leaky = Split(dataset, "mine", dataset.histories(), held, {})
    assert found(dataset, leaky)["held_out_in_train"].violations == len(held["test"])


def test_a_benchmark_that_trains_on_a_target_is_found_in_other_rows_of_the_user():
    dataset = shop()
    ours = leave_one_out(dataset)
    rows = [row.tolist() for row in ours.train]
    rows[4].insert(0, int(ours.reveal("test").targets[4]))  # not at the end, where `given_split` would see it
    train = Histories.from_lists(rows, ours.train.users.tolist())
    held = {part: ours.reveal(part) for part in PARTS}
    assert not any(finding.is_leak for finding in found(dataset, given_split(dataset, ours.train, held)).values())
    planted = found(dataset, given_split(dataset, train, held))
    assert planted["held_out_in_train"].violations == 1


def test_a_row_that_occurs_twice_is_a_leak_and_a_tie_is_a_warning():
    users, items = np.repeat([0, 1, 2], 4), [0, 1, 2, 2, 0, 1, 2, 3, 0, 1, 2, 2]
    moments = [1, 2, 3, 3, 1, 2, 3, 3, 1, 2, 3, 4]  # u0's last row occurs twice, u1's last two tie, u2 buys again
    dataset = small(users.tolist(), items, moments)
    planted = found(dataset, leave_one_out(dataset))
    assert planted["duplicated_test_rows"].examples == ("user 'u0' has twice at one moment 'cup'",)
    assert planted["duplicated_test_rows"].is_leak
    assert "duplicated_validation_rows" not in planted
    assert planted["tied_test_targets"].violations == 2
    assert planted["tied_test_targets"].severity == "warning"
    assert planted["repeated_test_targets"].violations == 2  # u0 and u2
    assert planted["repeated_test_targets"].share == pytest.approx(2 / 3)
    assert not planted["repeated_test_targets"].is_leak


def test_later_training_rows_are_counted_per_target():
    # u0's target is the oldest of all, u1's the newest; three of four training rows are later than u0's target.
    dataset = small([0] * 3 + [1] * 5, [0, 1, 2, 0, 1, 2, 3, 0], [1, 2, 3, 4, 5, 6, 7, 8])
    finding = leaks.later_training_rows(dataset, leave_one_out(dataset))
    assert (finding.violations, finding.checked) == (1, 2)
    assert finding.facts == {"median_share_of_later_training_rows": pytest.approx((3 / 4 + 0) / 2)}
    ordered = small([0] * 3 + [1] * 5, [0, 1, 2, 0, 1, 2, 3, 0], [1, 2, 3, 4, 5, 6, 7, 8], timed=False)
    assert leaks.later_training_rows(ordered, leave_one_out(ordered)).checked == 0


def test_twins_are_named():
    items, order = [0, 1, 2, 3] * 6 + [0, 1, 2], [*range(12), *range(12), 0, 1, 2]
    dataset = small([0] * 12 + [1] * 12 + [2] * 3, items, order, ("Tea", "tea ", "cup", ""))
    assert leaks.twin_users(dataset).examples == ("'u0' and 'u1'",)
    assert leaks.twin_users(dataset).checked == 2
    assert leaks.twin_items(dataset).examples == ("'Tea' is 'i0' and 'i1'",)
    assert leaks.twin_items(dataset).checked == 3


def test_nothing_checked_is_nothing_shared():
    finding = leaks.Finding("x", "y", 0, 0, "leak", "z")
    assert (finding.share, finding.is_leak) == (0.0, False)


@pytest.mark.data
@pytest.mark.parametrize("name", ["movielens_small", "amazon_scientific"])
def test_real_data_split_without_leaks(data_folder, name):
    from agentrec.data.load import load_dataset

    dataset = load_dataset(data_folder / name)
    methods = (leave_one_out, global_time) if dataset.interactions.has_timestamps else (leave_one_out,)
    for method in methods:
        assert not any(finding.is_leak for finding in leaks.check_split(dataset, method(dataset)))
