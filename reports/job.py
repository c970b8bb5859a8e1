"""What a test report says that no record knows (ISO/IEC 17025:2017, 7.8.2.1): who tested for whom, where, when, and who answers for it."""

from typing import Literal

from harness.model import noun


@noun
class Party:
    """A laboratory or a customer: name, address, how to reach them."""

    name: str
    address: str
    contact: str = ""


@noun
class Enclosed:
    """What somebody else stated or measured, handed in with the item: a file beside the job's, and not tested here.

    sbom: CycloneDX or SPDX, in JSON. cts, vts: Android's test_result.xml. xts: OpenHarmony's summary_report.xml, with the suite's `version` where
    it does not say. certificate: a community's, of any form, with who issued it, its number, and the last day that it holds.
    """

    kind: Literal["sbom", "cts", "vts", "xts", "certificate"]
    path: str
    version: str = ""
    issuer: str = ""
    number: str = ""
    valid_until: str = ""


@noun
class ReportJob:
    """A report's number, its parties, its dates, and what is to be said of the item, the method and others' results."""

    number: str
    laboratory: Party
    customer: Party
    location: str  # where it was tested
    received: str
    tested: str
    issued: str
    authorised_by: str  # name and function
    condition: str = "as delivered; digests as declared"
    sampling: str = "the item as delivered; no sampling"
    deviations: str = "none beside what is listed as not tested"
    external: str = "none"
    enclosed: tuple[Enclosed, ...] = ()
