"""ISO 14229-1:2020, 10.6: who proves to know a secret reads what others may not, and only as long as that holds."""

from harness.marks import requirement
from harness.vehicle.diagnostics import DEFAULT, Nrc, few, proof_of

END = b"\x29\x00"


def reads(declared):
    return [b"\x22" + r.did.to_bytes(2, "big") for r in declared.records]


def open_records(tester, declared):
    """The protected records that are read although they are not to be."""
    return tester.wrong((request, Nrc.AUTHENTICATION) for request in reads(declared))


@requirement("UDS-AUTH-001")
def test_who_is_authenticated_reads_and_nobody_else(tester, measure):
    declared = tester.authentication()
    for ended_by in (END.hex(), "its session's end", "S3", "a reset"):
        tester.in_session_of(0x29)
        found = open_records(tester, declared)
        measure("not_refused", len(found), before=ended_by, which=few(found))
        tester.authenticate()
        values = {r.did: tester.read(r.did) for r in declared.records}
        wrong = [f"{r.did:04X}" for r in declared.records if len(values[r.did]) != r.length]
        measure("wrong_lengths", len(wrong), which=few(wrong))
        if ended_by == END.hex():
            tester.positive(END)
        elif ended_by == "S3":
            tester.outwait_session()
        elif ended_by == "a reset":
            tester.reset()
        else:
            tester.enter(DEFAULT)
        found = open_records(tester, declared)
        measure("still_authenticated", len(found), ended_by=ended_by, which=few(found))


@requirement("UDS-AUTH-002")
def test_only_the_proof_of_the_last_challenge_counts_and_once(tester, measure):
    declared = tester.authentication()
    tester.in_session_of(0x29)
    tester.positive(END)
    right = proof_of(tester.challenge(), declared)
    near = right[:-5] + bytes([right[-5] ^ 1]) + right[-4:]  # the last bit of the proof, ahead of two lengths
    later = [proof_of(tester.challenge(), declared) for _ in range(2)]
    tried = [(near, Nrc.OWNERSHIP), (later[1], Nrc.SEQUENCE)]  # a wrong one has used the challenge up
    found = tester.wrong(tried)
    measure("wrong_answers", len(found), tried="a wrong proof, then the right one", which=few(found))
    tester.challenge()
    found = tester.wrong([(later[0], Nrc.OWNERSHIP), (right[:-4], Nrc.LENGTH)])
    measure("wrong_answers", len(found), tried="the proof of another challenge, and half a request", which=few(found))
    found = open_records(tester, declared)
    measure("authenticated_anyway", len(found), which=few(found))
    tester.authenticate()
    tester.positive(END)
    found = tester.wrong([(right, Nrc.SEQUENCE)])
    measure("wrong_answers", len(found), tried="a proof without a challenge", which=few(found))
    found = open_records(tester, declared)
    measure("authenticated_anyway", len(found), which=few(found))


@requirement("UDS-AUTH-003")
def test_challenges_do_not_come_again(vehicle, tester, parameters, measure):
    declared, seen = tester.authentication(), []
    for _ in range(2):
        tester.in_session_of(0x29)
        for _ in range(round(parameters.challenges / 2)):
            seen.append(tester.challenge())
            vehicle.pass_time(parameters.apart_s)
        tester.reset()
    measure("repeated", len(seen) - len(set(seen)), asked=len(seen))
    measure("wrong_lengths", sum(len(c) != declared.challenge_length for c in seen))
