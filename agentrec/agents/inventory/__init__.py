"""The inventory game of InventoryBench, and the policies that play it.

Arrays of this room: B instances, T periods of the game, H periods of demand before it, A periods ahead.
"""
