"""Carbon intensity of electricity, read from the data files that codecarbon ships.

Country averages: Our World in Data / Ember as packaged by codecarbon. US states: EPA eGRID.
Canadian provinces: their mix. Chinese provinces: MEE/NBS. Nordic bidding zones: ENTSO-E. Read as
files, because importing codecarbon costs a second; ``tests/harness/energy`` holds every figure
against codecarbon's own computation.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from steelyard.harness.errors import ConfigError, did_you_mean
from steelyard.harness.records import CarbonIntensity

KG_PER_POUND = 0.45359237
#: kg CO2e per kWh by fuel, for mixes given in shares: codecarbon ``core/emissions.py``, after
#: https://github.com/responsibleproblemsolving/energy-usage#conversion-to-co2
FUEL_KG_PER_KWH = {"coal": 0.995725971, "petroleum": 0.8166885263, "naturalGas": 0.7438415916}
NORDIC = {"SWE": "SE", "NOR": "NO", "FIN": "FI"}


def country_intensity(country: str, region: str | None = None) -> CarbonIntensity:
    """The average intensity of a country, or of a region that has its own figure.

    Args:
        country: ISO 3166-1 alpha-3, e.g. ``FRA``.
        region: name of a US state or Canadian or Chinese province, or a Nordic zone (``SE3``).

    Raises:
        ConfigError: there is no figure for it. The world average is never put in its place.
    """
    mix = _data("global_energy_mix.json")
    if country not in mix:
        raise ConfigError(
            "no carbon intensity for this country",
            key="energy.country",
            value=country,
            fix=_country_fix(country, mix),
        )
    if region is not None:
        return _regional(country, region)
    figures = mix[country]
    grams = figures.get("carbon_intensity")
    if grams is None:
        raise ConfigError(
            "no carbon intensity for this country",
            key="energy.country",
            value=country,
            fix="state intensity_g_per_kwh and intensity_source",
        )
    name = figures["country_name"]
    return _carbon_intensity(
        float(grams), f"{country} ({name})", "country average", figures.get("year")
    )


def _country_fix(country: str, mix: dict[str, Any]) -> str:
    """People write ``France``, ``FR`` or ``FRN``: the alpha-3 code that they mean."""
    by_name = {str(figures["country_name"]).lower(): code for code, figures in mix.items()}
    code = by_name.get(country.lower()) or _alpha3(country)
    if code in mix:
        return f"did you mean '{code}'?"
    if near := get_close_matches(country.lower(), by_name, n=1, cutoff=0.75):
        return f"did you mean '{by_name[near[0]]}' ({near[0]})?"
    if near := get_close_matches(country.upper(), mix, n=2, cutoff=0.6):
        return "did you mean " + " or ".join(f"'{code}'" for code in near) + "?"
    return "use an ISO 3166 alpha-3 code such as 'FRA', or state intensity_g_per_kwh"


def _alpha3(country: str) -> str:
    import pycountry

    try:
        return str(pycountry.countries.lookup(country).alpha_3)
    except LookupError:
        return ""


def _regional(country: str, region: str) -> CarbonIntensity:
    """A region's own figure, by the country's own source."""
    regions: dict[str, tuple[float, int | None]]
    if country == "USA":
        states = _data("2023/usa_emissions.json")
        year = states["_source"]["year"]
        regions = {
            name: (state["emissions"] * KG_PER_POUND, year)  # lbs/MWh -> g/kWh
            for name, state in states.items()
            if not name.startswith("_")
        }
        source = states["_source"]["name"]
    elif country == "CAN":
        regions = {
            name: (_mix_grams(mix), 2023)
            for name, mix in _data("2023/canada_energy_mix.json").items()
        }
        source = "provincial generation mix"
    elif country == "CHN":
        provinces = _data("2023/china_provincial_emissions.json")["data"].values()
        regions = {n: (p["emission_factor"], p["year"]) for p in provinces for n in p["names"]}
        source = "MEE/NBS provincial factor"
    elif country in NORDIC:
        zones = _data("nordic_emissions.json")["data"]
        regions = {
            name.lower(): (zone["emission_factor"], zone["year"])
            for name, zone in zones.items()
            if name.startswith(NORDIC[country])
        }
        source = "ENTSO-E generation of the bidding zone"
    else:
        raise ConfigError(
            f"{country} has no figures by region",
            key="energy.region",
            value=region,
            fix="leave region out, or state intensity_g_per_kwh and intensity_source",
        )
    if region.lower() not in regions:
        raise ConfigError(
            f"no carbon intensity for this region of {country}",
            key="energy.region",
            value=region,
            fix=did_you_mean(region.lower(), regions),
        )
    grams, year = regions[region.lower()]
    return _carbon_intensity(float(grams), f"{country} {region.lower()}", source, year)


def _mix_grams(mix: dict[str, float]) -> float:
    """g CO2e per kWh of a generation mix given in shares of ``total``."""
    kilograms = sum(mix.get(fuel, 0.0) * factor for fuel, factor in FUEL_KG_PER_KWH.items())
    return 1000 * kilograms / mix["total"]


def _carbon_intensity(grams: float, region: str, source: str, year: int | None) -> CarbonIntensity:
    origin = f"{source}, codecarbon {version('codecarbon')} data"
    return CarbonIntensity(g_per_kwh=round(grams, 3), region=region, source=origin, year=year)


@lru_cache
def _data(name: str) -> dict[str, Any]:
    spec = find_spec("codecarbon")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0], "data", "private_infra")
    value: dict[str, Any] = json.loads((folder / name).read_bytes())
    return value
