"""Other ways to constrain decoding, written down as well as we can: what `scripts/bench_decoding.py` measures against.

They are rivals, not parts: nothing in the toolkit uses them. Each file is one way, and each is tested against
`agentrec.decoding.index.trie.Trie`.
"""
