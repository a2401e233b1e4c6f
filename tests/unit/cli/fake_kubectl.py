#!/usr/bin/python3
"""A kubectl with recorded answers. WEIR_FAKE names a JSON file: a list of {"when": [words], "out", "err", "exit",
"sleep", "lines", "echo_input"}; the first entry whose words are all among the arguments is played. Every call is
appended to WEIR_FAKE.calls, as one JSON list."""

import json
import os
import sys
import time

with open(os.environ["WEIR_FAKE"], encoding="utf-8") as script:
    answers = json.load(script)
with open(os.environ["WEIR_FAKE"] + ".calls", "a", encoding="utf-8") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\n")
for answer in answers:
    if all(word in sys.argv for word in answer["when"]):
        break
else:
    sys.exit(f"error: nothing is recorded for {sys.argv[1:]}")
time.sleep(answer.get("sleep", 0))
out = answer.get("out", "")
sys.stdout.write(out if isinstance(out, str) else json.dumps(out))
sys.stderr.write(answer.get("err", ""))
sys.stdout.flush()
for pause, line in answer.get("lines", []):
    time.sleep(pause)
    print(json.dumps(line), flush=True)
if answer.get("until_input_ends"):
    sys.stdin.read()
    with open(os.environ["WEIR_FAKE"] + ".calls", "a", encoding="utf-8") as calls:
        calls.write(json.dumps(["input ended"]) + "\n")
sys.exit(answer.get("exit", 0))
