"""Python files of tasks that were reworded and do what they did: they keep their first digest.

Modules got other import names and variables other names between version 1 and 2. A task's digest
covers the bytes of its Python files, so every score of these tasks would have stopped being
comparable though nothing changed in what is asked and counted. An entry holds for these very bytes:
a file that is edited has a digest of its own again, and a test asks to take the entry out.
"""

from __future__ import annotations

#: File -> (its digest now, the digest under which it was first scored). SHA-256 in hex.
RENAMED_FILES: dict[str, tuple[str, str]] = {
    "examples/local_data/documents.py": (
        "37699f81eb5f17fcc24b16e441ad26feb3a3a99ddb1900771a231eb1f6d6e227",
        "93e0e4e2a99735ee274e9d4bd0fbde1636dfb5b28c03c051fdab372371d1bfa3",
    ),
    "examples/local_data/measures.py": (
        "8fde55cdabf32a4a4dbfa21944496da2d9c5746ab6c9ad6e4e469e01c911892c",
        "8181386bc617cc045698bbccf19a07fe205941ab4d5fc540457434d128d83ef4",
    ),
    "tasks/local_data.py": (
        "0dbb71791170e11fa976629c04c87ec29619fd1d07a4d6024a958c064727d26d",
        "6da8ac256f638edf1692d64693663383bb7e3221f57817ecfc5a33e31a62021f",
    ),
    "tasks/metrics/calibration.py": (
        "d3e0b3df621503b44869d5b8e27ed5a7ff4ee815a99d2f2da50ab19c7827b357",
        "cdc6ed1eac1e06f2a8c71fe1bdea8ba55a2f2b400200bf5ff25c6d6bdd8ec71b",
    ),
    "tasks/metrics/means.py": (
        "6b2ffa2e371a8795c56367945df394f0d48d9986085c482ac013fccaadd3898f",
        "5ff81f09e5663741fa5cd27961533b1b30f5341a354f2ee2da874dba20be7db5",
    ),
    "tasks/metrics/ratios.py": (
        "661bd11cdad69c693fe74dd029c3ab0b96e40c4f09c9596610bfd9ad9ad68a18",
        "095904012e9d26545be258d47e7f18be0e1c82179fe11bc6becfa7dcaa5957b9",
    ),
    "tasks/microworld/docs.py": (
        "b7629273460089f8cc3d89d91c6cab02b82efd55525b9208eaf085f8444bd678",
        "a0214e12b9172f05335029096d79f21fb4e40280fc5794119d900ed02200f250",
    ),
    "tasks/microworld/probe_docs.py": (
        "bf7e7dc188fd62d75134ff1aea90fcf37c4e07d687da77e2137bf4a00fd0f8ba",
        "6ab32846c03a309b7e4d299bcf2a620f4bbb6c773de641a4f88e5bcda42861e2",
    ),
    "tasks/microworld/results.py": (
        "86793f2d2217be7ecc99b269c87a3d79c451e3e330bd1c8695a69c152c4fbe03",
        "f9d02ee98a63624288bb61ee8339b09e94dc76fa4f2f31c9153a48a03e2917c9",
    ),
    "tasks/probes/closed_book.py": (
        "46cee1d4f89b137902210c69fa90139fe70b859bfc6e487ebd14fe74f378705a",
        "0cf91b60feda57f3c59367e805a39b8863c99222076caee62197b93fea7007ee",
    ),
    "tasks/probes/conflict.py": (
        "38823c1ea9d0b644017989ae6233925982d123b5eaf0bc1b6741f73e36114e61",
        "9e7600cf4029d5bba80e9a56e74a17313a7023e04e7547800de171b8a4bb4299",
    ),
    "tasks/probes/consistency.py": (
        "154d79c2988c6ac201fd295b14f81881d873b99648a2d2ca9c5b324ff5f14f41",
        "1b41dba0498f4a31425c10b413687abb05682e6b0387ac714ee8531bff4136bc",
    ),
    "tasks/probes/documents.py": (
        "b490e7a5971ccca3306cfd37d53fe860b7d5568732f43d2f55485557514c9446",
        "acc889a1c55eee90767a03b978814052264361c24cf054b6e5282e8acf829028",
    ),
    "tasks/probes/faithfulness.py": (
        "f68d843e4cc0529c8e92a08ddf84a5df96f77cd31fc6332ee38e14bd95766fbc",
        "4d60fe191847a2ec60b825d65f152896c49caa36077b57426b649bcc0da5e4ab",
    ),
    "tasks/probes/safety.py": (
        "38198e7017dff8a157b3eb9483dd1e5cf9b39dfdc8720da23f0be8512f03d015",
        "cf0ad9c6ed2a0006ccfe82838c963112646e49cee2eceff86196a25d96096de4",
    ),
    "tasks/probes/truth.py": (
        "94c631107d80178d45eecfaa4c061992e44c92b5ddf88bd33ae86b6a656db982",
        "aced641db15cb48dd2b9fde1b2d66f2888dec77c655d01e8e8008e429d8d7b36",
    ),
}
_FIRST_DIGESTS = dict(RENAMED_FILES.values())


def first_digest(digest: str) -> str:
    """The digest that a task file was first known by; its own where it was never reworded."""
    return _FIRST_DIGESTS.get(digest, digest)
