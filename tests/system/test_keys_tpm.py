"""The TPM key store on swtpm, beyond the contract: what an adversary, a power cut and a busy TPM can do to it."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from absent import need_program
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key, load_pem_public_key
from keybench import BusyTpm, Swtpm, swtpm

from hal.ecdsa import ALGORITHM
from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.tpm_key_store import DEFAULT_COUNTER, DEFAULT_HANDLE, TpmKeyStore

pytestmark = pytest.mark.system

DIGEST = hashlib.sha256(b"evidence").digest()
RC_RETRY, RC_TESTING, RC_YIELDED, RC_NV_RATE, RC_FAILURE, RC_AUTH_FAIL = 0x922, 0x90A, 0x908, 0x920, 0x101, 0x98E
CC_NV_INCREMENT, CC_SIGN, CC_STARTUP = 0x134, 0x15D, 0x144


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with swtpm(tmp_path) as running:
        yield running


@pytest.fixture
def busy(tpm: Swtpm) -> Iterator[BusyTpm]:
    between = BusyTpm(tpm)
    yield between
    between.close()


@pytest.fixture
def open_store(tpm: Swtpm, tmp_path: Path) -> Callable[..., TpmKeyStore]:
    return lambda tcti=tpm.tcti, **options: TpmKeyStore(tmp_path / "keys", tcti, **options)


def tool(tpm: Swtpm, *arguments: str) -> str:
    """tpm2-tools: programs that nobody here wrote."""
    need_program("tpm2")
    done = subprocess.run(["tpm2", *arguments, "-T", tpm.tcti], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_program_reads_the_same_public_key(tpm: Swtpm, open_store: Callable[..., TpmKeyStore], tmp_path: Path) -> None:
    spki = open_store().generate_key()
    said = tool(tpm, "readpublic", "-c", f"0x{DEFAULT_HANDLE:08x}", "-f", "pem", "-o", str(tmp_path / "public.pem"))
    public = load_pem_public_key((tmp_path / "public.pem").read_bytes())
    assert public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki
    assert "value: fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign\n" in said  # and neither restricted nor decrypt
    index = tool(tpm, "nvreadpublic", f"0x{DEFAULT_COUNTER:08x}")
    assert "nt=counter" in index or re.search(r"nt=0x1\b", index)


def test_the_private_key_cannot_leave(tpm: Swtpm, open_store: Callable[..., TpmKeyStore]) -> None:
    """BWC-POL-36: the TPM itself refuses. TPM2_Duplicate is the only command that would give a private part to another TPM, and
    TPM2_ReadPublic gives none."""
    from tpm2_pytss import ESAPI, ESYS_TR, TPM2_ALG, TPM2_CC, TPM2_SE, TPM2B_DATA, TPMT_SYM_DEF, TPMT_SYM_DEF_OBJECT, TSS2_Exception

    open_store().generate_key()
    with ESAPI(tpm.tcti) as esapi:
        key = esapi.tr_from_tpmpublic(DEFAULT_HANDLE)
        policy = esapi.start_auth_session(
            ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL), TPM2_ALG.SHA256
        )
        esapi.policy_command_code(policy, TPM2_CC.Duplicate)
        none = TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)
        for session in (policy, ESYS_TR.PASSWORD):
            with pytest.raises(TSS2_Exception):
                esapi.duplicate(key, ESYS_TR.NULL, TPM2B_DATA(), none, session1=session)


def test_evicted_is_destroyed(tpm: Swtpm, open_store: Callable[..., TpmKeyStore]) -> None:
    """A primary key can be made again from its template; ours cannot, because a part of the template was not kept: neither from
    what the TPM tells of the key, nor by making another."""
    from tpm2_pytss import ESAPI, ESYS_TR

    first = open_store().generate_key()
    with ESAPI(tpm.tcti) as esapi:
        area = esapi.read_public(esapi.tr_from_tpmpublic(DEFAULT_HANDLE))[0]
        x, y = (bytes(each) for each in (area.publicArea.unique.ecc.x, area.publicArea.unique.ecc.y))
        for unique in ((b"", b""), (bytes(32), bytes(32)), (x, y)):
            area.publicArea.unique.ecc.x, area.publicArea.unique.ecc.y = unique
            again, made, *_ = esapi.create_primary(None, area, ESYS_TR.OWNER)
            assert bytes(made.publicArea.unique.ecc.x) != x
            esapi.flush_context(again)
    tool(tpm, "evictcontrol", "-C", "o", "-c", f"0x{DEFAULT_HANDLE:08x}")
    store = open_store()
    with pytest.raises(HalUnavailable, match="no signing key"):
        store.sign_digest(DIGEST)
    assert store.generate_key() != first


def test_key_and_counter_survive_a_power_cut(tpm: Swtpm, open_store: Callable[..., TpmKeyStore]) -> None:
    store = open_store()
    public = load_der_public_key(store.generate_key())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert [store.counter_increment() for _ in range(3)] == [1, 2, 3]
    tpm.power_off()
    for call in (lambda: store.sign_digest(DIGEST), store.counter_read, store.counter_increment):
        with pytest.raises(DeviceFault):
            call()
    tpm.power_on()
    assert store.counter_read() == 3  # the same object: nothing of it lay in the TPM's memory
    again = open_store()
    for each in (store, again):
        public.verify(each.sign_digest(DIGEST), DIGEST, ALGORITHM)
    assert again.counter_increment() == 4
    with pytest.raises(HalError, match="not replaced"):
        again.generate_key()


def test_a_tpm_that_was_reset_is_started_up(tpm: Swtpm, open_store: Callable[..., TpmKeyStore]) -> None:
    """Part 3 §9.3: until TPM2_Startup every command is answered with TPM_RC_INITIALIZE."""
    store = open_store()
    store.generate_key()
    tpm.power_off()
    tpm.power_on(startup=False)
    assert len(store.sign_digest(DIGEST)) > 60


def rebase(tpm: Swtpm) -> None:
    """What somebody with the owner's rights can do to the counter: remove it, and make it again."""
    tool(tpm, "nvundefine", "-C", "o", f"0x{DEFAULT_COUNTER:08x}")
    tool(tpm, "nvdefine", "-C", "o", "-s", "8", "-a", "authread|authwrite|no_da|nt=counter", f"0x{DEFAULT_COUNTER:08x}")


def test_the_counter_cannot_be_set_back(tpm: Swtpm, open_store: Callable[..., TpmKeyStore], tmp_path: Path) -> None:
    """BWC-POL-29: not through files, not with the TPM owner's (empty) authorization, not by removing it."""
    store = open_store()
    store.generate_key()
    assert [store.counter_increment() for _ in range(5)] == [1, 2, 3, 4, 5]
    for path in (tmp_path / "keys").iterdir():
        path.unlink()
    assert open_store().counter_read() == 5
    rebase(tpm)
    assert open_store().counter_increment() == 6
    tool(tpm, "nvundefine", "-C", "o", f"0x{DEFAULT_COUNTER:08x}")
    with pytest.raises(DeviceFault, match="gone"):
        store.counter_read()
    with pytest.raises(DeviceFault, match="gone"):
        store.counter_increment()


def test_a_plain_index_is_no_counter(tpm: Swtpm, open_store: Callable[..., TpmKeyStore]) -> None:
    """An ordinary index at the counter's place could be given any value."""
    store = open_store()
    store.generate_key()
    tool(tpm, "nvundefine", "-C", "o", f"0x{DEFAULT_COUNTER:08x}")
    tool(tpm, "nvdefine", "-C", "o", "-s", "8", "-a", "authread|authwrite|no_da", f"0x{DEFAULT_COUNTER:08x}")
    with pytest.raises(DeviceFault, match="no counter"):
        store.counter_read()


def test_the_counter_is_the_one_that_the_key_names(open_store: Callable[..., TpmKeyStore]) -> None:
    """Another index in the configuration does not begin anew."""
    store = open_store()
    store.generate_key()
    store.counter_increment()
    assert open_store(counter_index=DEFAULT_COUNTER + 1).counter_increment() == 2


def test_a_used_tpm_begins_at_nought(tpm: Swtpm, open_store: Callable[..., TpmKeyStore]) -> None:
    """A new counter stands above all that the TPM ever had (Part 1 §37.2): what we tell is relative to the key's own base."""
    tool(tpm, "nvdefine", "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite|nt=counter", "0x01810000")
    for _ in range(7):
        tool(tpm, "nvincrement", "-C", "o", "0x01810000")
    store = open_store()
    store.generate_key()
    assert (store.counter_read(), store.counter_increment()) == (0, 1)


def test_a_foreign_key_at_the_handle_is_refused(tpm: Swtpm, open_store: Callable[..., TpmKeyStore], tmp_path: Path) -> None:
    """A key that signs but could leave, or that names no counter, is not used."""
    for attributes, said in (
        ("fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign", "names no counter"),
        ("sensitivedataorigin|userwithauth|noda|sign", "made and keeps"),
        ("fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign|restricted", "made and keeps"),
    ):
        context = str(tmp_path / "foreign.ctx")
        tool(tpm, "createprimary", "-C", "o", "-G", "ecc256:ecdsa-sha256:null", "-a", attributes, "-c", context)
        tool(tpm, "evictcontrol", "-C", "o", "-c", context, f"0x{DEFAULT_HANDLE:08x}")
        with pytest.raises(HalError, match=said):
            open_store()
        tool(tpm, "evictcontrol", "-C", "o", "-c", f"0x{DEFAULT_HANDLE:08x}")
        tool(tpm, "flushcontext", "-t")


def test_nothing_stays_loaded(tpm: Swtpm, open_store: Callable[..., TpmKeyStore]) -> None:
    """There is no resource manager here: a leaked object or session would show, and soon fill the TPM."""
    store = open_store()
    store.generate_key()
    for _ in range(5):
        store.sign_digest(DIGEST)
        store.counter_increment()
    for kind in ("handles-transient", "handles-loaded-session"):
        assert tool(tpm, "getcap", kind).strip() == ""


@pytest.mark.parametrize(("code", "times"), [(RC_RETRY, 12), (RC_TESTING, 12), (RC_YIELDED, 12), (RC_NV_RATE, 5)])
def test_a_busy_tpm_is_asked_again(busy: BusyTpm, open_store: Callable[..., TpmKeyStore], code: int, times: int) -> None:
    """The TSS itself sends the first three five times again, at once; what goes beyond that is ours, with a pause between."""
    pauses: list[float] = []
    store = open_store(busy.tcti, pause=pauses.append)
    store.generate_key()
    busy.commands.clear()
    busy.answers += [code] * times
    assert len(store.sign_digest(DIGEST)) > 60
    assert set(busy.commands) == {CC_SIGN}
    assert 0 < sum(pauses) < 2.6
    busy.answers += [code] * 3
    before = store.counter_read()
    busy.answers += [code] * 3
    assert store.counter_increment() == before + 1


def test_an_ever_busy_tpm_is_given_up(busy: BusyTpm, open_store: Callable[..., TpmKeyStore]) -> None:
    pauses: list[float] = []
    store = open_store(busy.tcti, pause=pauses.append)
    store.generate_key()
    busy.answers += [RC_RETRY] * 1000
    with pytest.raises(DeviceFault, match="busy"):
        store.sign_digest(DIGEST)
    assert sum(pauses) < 3
    busy.answers.clear()
    assert len(store.sign_digest(DIGEST)) > 60


def test_failed_and_refused_are_told_apart(busy: BusyTpm, open_store: Callable[..., TpmKeyStore]) -> None:
    store = open_store(busy.tcti)
    store.generate_key()
    busy.answers.append(RC_FAILURE)
    with pytest.raises(DeviceFault):
        store.sign_digest(DIGEST)
    busy.answers.append(RC_AUTH_FAIL)
    with pytest.raises(HalError) as refused:
        store.sign_digest(DIGEST)
    assert not isinstance(refused.value, DeviceFault)


def test_a_tpm_that_goes_in_mid_command(busy: BusyTpm, open_store: Callable[..., TpmKeyStore]) -> None:
    store = open_store(busy.tcti)
    store.generate_key()
    busy.answers.append(None)
    with pytest.raises(DeviceFault):
        store.sign_digest(DIGEST)
    assert len(store.sign_digest(DIGEST)) > 60
    busy.answers.append(None)
    with pytest.raises(DeviceFault):
        store.counter_increment()
    assert store.counter_increment() == 1


def test_signing_is_one_command(busy: BusyTpm, open_store: Callable[..., TpmKeyStore]) -> None:
    """A discrete TPM takes its time for each: only TPM2_Sign is paid for with every fragment."""
    store = open_store(busy.tcti)
    store.generate_key()
    busy.commands.clear()
    store.sign_digest(DIGEST)
    assert busy.commands == [CC_SIGN]


@pytest.mark.parametrize("tcti", ["device:/dev/no-such-tpm", "swtpm:path=/nonexistent", "no-such-tcti", "no-such:thing"])
def test_an_absent_tpm_is_named(tmp_path: Path, tpm: Swtpm, tcti: str) -> None:
    with pytest.raises(HalUnavailable) as unavailable:
        TpmKeyStore(tmp_path / "keys", tcti)
    assert tcti in str(unavailable.value)
    assert "tpm_tcti" in str(unavailable.value)


def test_info_names_the_maker(open_store: Callable[..., TpmKeyStore]) -> None:
    assert "'IBM'" in open_store().info().description  # so swtpm shows for what it is
