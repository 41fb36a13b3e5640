"""The check of chat templates: those of today's models pass, and each way of breaking one is named."""

import pytest

from agentrec.core.errors import ConfigError
from agentrec.models.presets import build_tokenizer
from agentrec.prompts.chat import chat_text, check_chat_template

QWEN = (  # ChatML whose finished turns hold empty thoughts, as Qwen3's do where thinking is switched off
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.role == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (  # writes no opening of its own for the assistant, and a blank before the answer
    "{% for message in messages %}{% if message.role == 'system' %}{{ '[INST] ' + message.content + '\n' }}"
    "{% elif message.role == 'user' %}{{ message.content + '[/INST]' }}{% else %}{{ ' ' + message.content }}"
    "{% endif %}{% endfor %}"
)
SIDS = ["<a_0><b_1>"]


def tokenizer(template: str | None, texts: list[str] | None = None):
    made = build_tokenizer(["<a_0>", "<b_1>"], ["first, second and third probes"] if texts is None else texts)
    made.chat_template = template
    made.name_or_path = "some/model"
    return made


@pytest.mark.parametrize("template", [QWEN, LLAMA, MISTRAL])
def test_templates_of_todays_models_pass(template: str) -> None:
    check_chat_template(tokenizer(template), SIDS)


def test_the_template_of_presets_passes() -> None:
    made = build_tokenizer(["<a_0>", "<b_1>"], ["words"])
    check_chat_template(made, SIDS)
    assert chat_text(made, "s", "u").endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("template", "found"),
    [
        (None, "is missing; expected one"),
        (QWEN.replace("message.content", "''"), "writes the system message 0 times; expected each message once"),
        (
            "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
            "writes the system message 0 times",
        ),
        (
            "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}",  # leaves the turn closed
            r"opens .* but writes a finished turn as .*; expected the answer straight behind",
        ),
        (
            QWEN.replace("<think>\n\n</think>\n\n' }}{% endif %}{% endif %}", "<think>\n' }}{% endif %}{% endif %}"),
            r"opens the assistant's turn with .*<think>",
        ),
        ("{{ raise_exception('System role not supported') }}", r"refuses a chat of system, user \(System role not"),
    ],
)
def test_a_broken_template_is_named(template: str | None, found: str) -> None:
    with pytest.raises(ConfigError, match=f"the chat template of some/model {found}"):
        check_chat_template(tokenizer(template), SIDS)


def test_an_answer_that_the_tokenizer_cannot_write_is_refused() -> None:
    wordless = build_tokenizer(["<a_0>", "<b_1>"])
    wordless.chat_template = QWEN
    with pytest.raises(ConfigError, match="spells the answer 'third probe' as ''; expected the same text"):
        check_chat_template(wordless, SIDS)
