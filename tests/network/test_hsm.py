"""A lab's key in a token: SoftHSM signs, and the key never leaves it."""

import json
import subprocess

import pytest
from typer.testing import CliRunner

from harness.errors import BadInput
from harness.signing import keys
from harness.signing import token as hsm
from shipei.cli import app
from tests.support.desk import needs
from tests.support.stores import certified

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
URI = f"pkcs11:token=the%20lab;object=li-wei?module-path={MODULE}"


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """A token with two keys, on P-256 and on P-384; the file of its PIN."""
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "conf"))
        made = [needs("softhsm2-util"), "--init-token", "--free", "--label", "the lab", "--pin", "1234", "--so-pin", "4321"]  # fmt: skip
        subprocess.run(made, check=True, capture_output=True)
        pkcs11 = hsm.library()
        from pkcs11.util.ec import encode_named_curve_parameters

        with pkcs11.lib(MODULE).get_token(token_label="the lab").open(user_pin="1234", rw=True) as session:
            for label, curve in (("li-wei", "secp256r1"), ("other", "secp384r1")):
                parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
                session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True).generate_keypair(
                    store=True, label=label
                )
        (folder / "pin").write_text("1234\n")
        yield folder / "pin"


def test_a_token_signs_a_certificate(token, tmp_path):
    run, where = certified(tmp_path), tmp_path / "p"
    keys.new(where / "wang-fang.key")
    (where / "li-wei.pub").write_text(shipei("key", "public", "--key", URI, "--passphrase-file", token).stdout)
    (where / "programme.yaml").write_text(shipei("schema", "programme", "--example").stdout)
    mine = ("--key", URI, "--passphrase-file", token, "--programme", where)
    done = shipei("certificate", "issue", run, *mine, "--json")
    assert done.exit_code == 0, done.output
    digest = json.loads(done.stdout)["certificate"]
    other = ("--key", where / "wang-fang.key", "--programme", where)
    assert shipei("certificate", "approve", digest, run, *other).exit_code == 0
    assert (
        shipei("certificate", "verify", where / "certificates" / f"{digest}.json", "--programme", where).exit_code == 0
    )


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("pkcs11:token=the%20lab", "should be pkcs11:token=LABEL;object=LABEL"),
        (URI.replace("li-wei", "nobody"), "No key matching"),
        (URI.replace("the%20lab", "another"), "No token matching"),
        (URI.replace(MODULE, "/no/such.so"), "cannot open shared object file"),
        (URI.replace("li-wei", "other"), "not on the curve P-256"),
    ],
)
def test_a_token_that_has_it_not_is_told(token, uri, said):
    with pytest.raises(BadInput, match=said):
        keys.signer(uri, token)


def test_a_pin_is_needed_and_has_to_be_the_tokens(token, tmp_path):
    with pytest.raises(BadInput, match="the token's PIN is needed"):
        keys.signer(URI)
    (tmp_path / "pin").write_text("9999\n")
    with pytest.raises(BadInput, match="the PIN is not the token's"):
        keys.signer(URI, tmp_path / "pin")


def shipei(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])
