#!/bin/sh
# phonenumbers 9.0.43 (Python, of 2026-11): a number in an area code that is in service can be "not valid".
#
# What one would guess: is_valid_number() is the check for a form, since "+1 436 ..." (Ohio, beside 440, in service
# since 2024-03) and "+1 861 ..." (Illinois, beside 309, in service since 2023-02) are numbers that people have.
# What happens: both are possible and not valid, while the older codes beside them are valid. The list of codes is
# generated from plans that are older than the codes. A form that trusts it refuses real guests.
# What to do: ask for the country alone, or is_possible_number(), which looks at the length only.
#
# Output seen on 2026-11-29:
#   phonenumbers 9.0.43
#   +14365550123 possible=True valid=False region=None
#   +14405550123 possible=True valid=True region=US
#   +18615550123 possible=True valid=False region=None
#   +13095550123 possible=True valid=True region=US
#
# Exit status: 0 if it is still so, 1 if it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "phonenumbers==9.0.43"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import phonenumbers

print("phonenumbers", phonenumbers.__version__)
seen = []
for text in ("+14365550123", "+14405550123", "+18615550123", "+13095550123"):
    number = phonenumbers.parse(text)
    possible, valid = phonenumbers.is_possible_number(number), phonenumbers.is_valid_number(number)
    print(f"{text} possible={possible} valid={valid} region={phonenumbers.region_code_for_number(number)}")
    seen.append((possible, valid))
sys.exit(0 if seen == [(True, False), (True, True), (True, False), (True, True)] else 1)
PYTHON
