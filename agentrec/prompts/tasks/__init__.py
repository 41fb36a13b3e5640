"""The tasks of multi-task fine-tuning: one file each, named like the pair of prompts it fills.

A file binds ``METHOD`` to a class with ``folder`` and ``questions`` (`agentrec.prompts.questions.Task`). Other packages
add tasks by entry points of the group ``agentrec.prompts.tasks``, with prompts in a folder of their own.
"""
