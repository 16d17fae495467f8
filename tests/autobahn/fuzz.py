"""Runs the translated suite against one echo server and compares the outcomes with what is expected.

Usage: fuzz.py <ws://host:port/> <expected outcomes> <folder to write the outcomes to>
"""

import json
import sys
from pathlib import Path

import txaio
from twisted.internet import reactor
from twisted.python import log

txaio.use_twisted()  # before autobahn is imported

from autobahn.websocket import protocol as library
from autobahntestsuite import fuzzing
from octets import Masker, octets, text

# Ten times what a run takes on a busy machine.
LONGEST_RUN = 300
# Seconds for what a server must do. The suite's own half to one second is for a machine that does nothing else.
# Waits in which a server must do nothing stay as they are.
PATIENCE = 10


class Protocol(fuzzing.FuzzingClientProtocol):
    """The suite's end of a connection; turns its strings into octets and back."""

    def sendFrame(self, opcode, payload=b"", payload_len=None, **options):
        payload = octets(payload)
        if payload_len is not None:
            # `autobahn` repeats a payload by a division that Python 3 does not round.
            payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
        super().sendFrame(opcode, payload, **options)

    def sendMessage(self, payload, *args, **options):
        super().sendMessage(octets(payload), *args, **options)

    def sendMessageFrameData(self, payload, *args, **options):
        return super().sendMessageFrameData(octets(payload), *args, **options)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, octets(reasonUtf8), isReply)

    def killAfter(self, delay):
        super().killAfter(max(delay, PATIENCE))

    def closeAfter(self, delay):
        super().closeAfter(max(delay, PATIENCE))

    def onMessage(self, payload, isBinary):
        super().onMessage(text(payload), isBinary)

    def onPong(self, payload):
        super().onPong(text(payload))

    def logRxFrame(self, frameHeader, payload):
        super().logRxFrame(frameHeader, [text(part) for part in payload])

    def logTxFrame(self, frameHeader, payload, *args):
        super().logTxFrame(frameHeader, text(payload), *args)

    def logRxOctets(self, data):
        super().logRxOctets(text(data))

    def logTxOctets(self, data, sync):
        super().logTxOctets(text(data), sync)


class Factory(fuzzing.FuzzingClientFactory):
    """Goes through the cases, one connection each."""

    def buildProtocol(self, addr):
        protocol = super().buildProtocol(addr)
        # The suite names the class itself, so the instance changes its own.
        protocol.__class__ = Protocol
        return protocol

    def clientConnectionFailed(self, connector, reason):
        log.err(reason)
        reactor.stop()

    def createReports(self):
        """Called when all cases are through; what they left is read from `agents`."""


def run(url):
    """The outcome of each case, with all that the suite knows of it."""
    raised = []
    # What a callback raises goes to Twisted's log, and would look like a server's fault.
    log.addObserver(lambda event: event["isError"] and raised.append(log.textFromEventDict(event)))
    library.createXorMasker = Masker
    options = {f"{what}Timeout": PATIENCE for what in ("openHandshake", "closeHandshake", "serverConnectionDrop")}
    factory = Factory({"servers": [{"agent": "server", "url": url, "options": options}], "cases": ["*"]})
    late = reactor.callLater(LONGEST_RUN, lambda: (raised.append(f"not done in {LONGEST_RUN} s"), reactor.stop()))
    reactor.run()
    if late.active():
        late.cancel()
    if raised:
        sys.exit("\n".join(raised))
    return factory.agents["server"]


def summary(case):
    return {"behavior": case["behavior"], "close": case["behaviorClose"], "code": case["remoteCloseCode"]}


def main(url, expected, folder):
    cases = run(url)
    outcomes = {name: summary(case) for name, case in cases.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(outcome)}" for name, outcome in outcomes.items())
    (folder / "outcomes.json").write_text(f"{{\n{lines}\n}}\n")
    (folder / "details.json").write_text(json.dumps(cases, indent=1, default=text))

    wanted = json.loads(expected.read_text())
    different = [name for name in {**wanted, **outcomes} if wanted.get(name) != outcomes.get(name)]
    for name in different:
        print(f"{name} should be {wanted.get(name)} and is {outcomes.get(name)}", file=sys.stderr)
    if different:
        sys.exit(f"{len(different)} of {len(outcomes)} cases differ from {expected}; {folder}/details.json says more")
    print(f"{len(outcomes)} cases are as expected")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
