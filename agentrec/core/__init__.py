"""Ground floor: types, protocols, errors, registry, randomness and files. Standard library and numpy.

The one exception is `artefact`, which builds on safetensors and huggingface_hub so that everything saves alike.
"""
