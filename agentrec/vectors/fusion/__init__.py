"""What texts say of items and what training histories say, in one vector: one file per way, picked by name.

A fusion is fitted on all items there are, keeps what it needs of them under their ids, and gives an item that comes
later a vector from its text alone, in the same space.
"""
