"""Chat templates: the text of a chat up to the assistant's answer, and a check that labels can mask exactly that.

An answer is tokenised on its own and put behind the tokens of the prompt, never merged with them. That is right only
where a template writes the answer straight behind what it writes for an open assistant turn. Templates come with
models and some do not: they ignore the system message, or open the turn with words that a finished turn lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrec.core.errors import ConfigError

PROBES = ("first probe", "second probe", "third probe")  # system, user and assistant


def chat_text(tokenizer: Any, system: str, user: str) -> str:
    """A chat up to the start of the assistant's answer; a template that can think is told not to."""
    return _filled(tokenizer, _turns(system, user))


def check_chat_template(tokenizer: Any, sids: Sequence[str] = ()) -> None:
    """Check that the tokenizer in use fits tasks: what is learned must be the answer, the whole answer, and no more.

    Args:
        tokenizer: of Hugging Face.
        sids: semantic IDs as text that must come through the tokenizer as they are.

    Raises:
        ConfigError: there is no template, it refuses or drops a message, an answer does not follow the prompt that
            the template writes, or an answer's tokens do not spell the answer.
    """
    if tokenizer.chat_template is None:
        raise _broken(tokenizer, "is missing", "one, because prompts are chats")
    system, user, answer = PROBES
    prompt = _tried(tokenizer, _turns(system, user))
    for role, content in zip(("system", "user"), (system, user), strict=True):
        if prompt.count(content) != 1:
            times = prompt.count(content)
            raise _broken(tokenizer, f"writes the {role} message {times} times", "each message once")
    whole = _tried(tokenizer, [*_turns(system, user), {"role": "assistant", "content": answer}], False)
    if not (whole.startswith(prompt) and whole[len(prompt) :].lstrip().startswith(answer)):
        found = whole[whole.find(user) + len(user) :]
        raise _broken(
            tokenizer,
            f"opens the assistant's turn with {prompt[-40:]!r} but writes a finished turn as {found[:80]!r}",
            "the answer straight behind the opening",
        )
    for text in (answer, *sids):
        _check_answer(tokenizer, text)


def answer_tokens(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of answers, each tokenised on its own, without the tokens that end or begin a text."""
    return [list(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]


def _check_answer(tokenizer: Any, text: str) -> None:
    (ids,) = answer_tokens(tokenizer, [text])
    spelled = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if "".join(spelled.split()) != "".join(text.split()):
        raise ConfigError(
            f"the tokenizer of {_name(tokenizer)} spells the answer {text!r} as {spelled!r}; expected the same text, "
            "so use a tokenizer that can write it, extended by these semantic IDs"
        )


def _turns(system: str, user: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _filled(tokenizer: Any, messages: Sequence[dict[str, str]], is_open: bool = True) -> str:
    text: str = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=is_open, enable_thinking=False, tokenize=False
    )
    return text


def _tried(tokenizer: Any, messages: Sequence[dict[str, str]], is_open: bool = True) -> str:
    from jinja2 import TemplateError

    try:
        return _filled(tokenizer, messages, is_open)
    except (TemplateError, TypeError, ValueError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise _broken(tokenizer, f"refuses a chat of {roles} ({error})", "a template that takes them") from error


def _broken(tokenizer: Any, found: str, expected: str) -> ConfigError:
    return ConfigError(
        f"the chat template of {_name(tokenizer)} {found}; expected {expected}, so use the sequence form or an "
        "instruction-tuned model with another template"
    )


def _name(tokenizer: Any) -> str:
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
