"""What OpenAI's SDK gets from a server for each form of answer, as one JSON object on standard output.

The SDK checks the shapes: an answer that is none of its types raises here.
"""

import json
import sys

import openai

url, recording, translator = sys.argv[1:]


def client_of(server):
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0, timeout=60)


client = client_of(url)


def transcribe(response_format, model="whisper-1", **options):
    with open(recording, "rb") as file:
        return client.audio.transcriptions.create(
            model=model, file=file, response_format=response_format, **options
        )


def translate(response_format, server=translator):
    with open(recording, "rb") as file:
        return client_of(server).audio.translations.create(model="whisper-1", file=file, response_format=response_format)


def refused(call):
    """The error that a call ends with, as the SDK shows it."""
    try:
        call()
    except openai.APIStatusError as error:
        return {
            "type": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "param": error.param,
            "message": error.message,
            "request_id": error.request_id,
        }
    raise SystemExit("the server took what it must refuse")


def not_audio():
    return client.audio.transcriptions.create(model="whisper-1", file=("note.wav", b"no recording at all"))


verbose = transcribe("verbose_json", timestamp_granularities=["word", "segment"], language="en", prompt="Dalston")
translated = translate("verbose_json")
json.dump(
    {
        "json": transcribe("json").text,
        "text": transcribe("text"),
        "srt": transcribe("srt"),
        "vtt": transcribe("vtt"),
        "verbose": {
            "type": type(verbose).__name__,
            "text": verbose.text,
            "language": verbose.language,
            "duration": verbose.duration,
            "words": [[word.word, word.start, word.end] for word in verbose.words],
            "segments": [[segment.text, segment.start, segment.end] for segment in verbose.segments],
        },
        "translation": {
            "json": translate("json").text,
            "text": translate("text"),
            "srt": translate("srt"),
            "vtt": translate("vtt"),
            "verbose": [type(translated).__name__, translated.text, translated.language, len(translated.segments)],
        },
        "no_translator": refused(lambda: translate("json", server=url)),
        "not_audio": refused(not_audio),
        "bad_format": refused(lambda: transcribe("xml")),
        "bad_model": refused(lambda: transcribe("json", model="no-such-model")),
    },
    sys.stdout,
)
