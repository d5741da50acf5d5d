#!/bin/sh
# spck-conformance 0.4.0 (Python, of 2026): some of its checks pay with an instrument that UCP's schema refuses.
#
# What one would guess: a suite that grades a business against UCP 2026-04-08 sends what that edition allows. What
# happens: payment_instrument.json requires id, handler_id and type, and the payment that is built into the suite's
# checks of 2026-04-08 names no handler. A business that reads instruments by the schema answers 400, and the report says that
# it deviates.
# What to do: put the suite's own "complete_payment", which the operator writes, in its place before the request arrives.
#
# Output seen on 2026-11-29:
#   spck-conformance 0.4.0: {'id': 'instr_ok', 'type': 'card', 'credential': {'type': 'token', 'token': 'success_token'}}
#   ucp-sdk 0.5.0: handler_id: Field required
#
# Exit status: 0 if it is still so, 1 if it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "spck-conformance==0.4.0" "ucp-sdk==0.5.0"
"$folder/venv/bin/python" - <<'PYTHON'
import ast
import importlib.metadata
import pathlib
import sys

import spck_conformance
from pydantic import ValidationError
from ucp_sdk.models.schemas.common.types.payment_instrument import PaymentInstrument

checks = pathlib.Path(spck_conformance.__file__).parent / "_bundle/conformance/checks/merchant_checks_04_08_receiver.py"
functions = {node.name: node for node in ast.parse(checks.read_text()).body if isinstance(node, ast.FunctionDef)}
body = ast.literal_eval(functions["_success_pay"].body[0].value)
instrument = body["payment"]["instruments"][0]
print(f"spck-conformance {importlib.metadata.version('spck-conformance')}: {instrument}")
try:
    PaymentInstrument.model_validate(instrument)
except ValidationError as error:
    found = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
    print(f"ucp-sdk {importlib.metadata.version('ucp-sdk')}:", "; ".join(": ".join(each) for each in found))
    sys.exit(0 if found == [("handler_id", "Field required")] else 1)
print("the instrument is valid")
sys.exit(1)
PYTHON
