"""The ``energy:`` block: a place is never guessed, and a number without a source is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from steelyard.harness.energy import EnergyConfig, open_meter
from steelyard.harness.energy.intensity import FUEL_KG_PER_KWH
from steelyard.harness.errors import ConfigError

COUNTRIES = ["FRA", "DEU", "POL", "USA", "IND", "NOR", "CHN", "ZAF", "ABW"]
REGIONS = [
    ("USA", "california"),
    ("USA", "West Virginia"),
    ("CAN", "quebec"),
    ("CAN", "alberta"),
    ("SWE", "SE3"),
    ("NOR", "no1"),
    ("CHN", "beijing"),
]


def _by_codecarbon(country: str, region: str | None = None) -> float:
    """g/kWh as codecarbon itself computes it, for one kWh."""
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    geo = GeoMetadata(country_iso_code=country, region=region)
    kwh = Energy.from_energy(kWh=1.0)
    return 1000 * float(Emissions(DataSource()).get_private_infra_emissions(kwh, geo))


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_countrys_intensity_is_codecarbons(country: str) -> None:
    intensity = EnergyConfig(country=country).intensity()
    assert intensity is not None
    assert intensity.g_per_kwh == pytest.approx(_by_codecarbon(country), abs=1e-3)
    assert intensity.region.startswith(country)
    assert "codecarbon" in intensity.source
    assert intensity.year is not None
    assert intensity.year >= 2000


@pytest.mark.parametrize(("country", "region"), REGIONS)
def test_a_regions_intensity_is_codecarbons(country: str, region: str) -> None:
    intensity = EnergyConfig(country=country, region=region).intensity()
    assert intensity is not None
    assert intensity.g_per_kwh == pytest.approx(_by_codecarbon(country, region), abs=1e-3)


def test_the_fuel_factors_are_codecarbons() -> None:
    from codecarbon.core.emissions import Emissions

    for fuel, factor in FUEL_KG_PER_KWH.items():
        mix = {"coal": 0.0, "petroleum": 0.0, "naturalGas": 0.0, "total": 1.0, fuel: 1.0}
        assert Emissions._region_energy_mix_to_emissions_rate(mix).kgs_per_kWh == factor


def test_no_country_gives_no_intensity() -> None:
    assert EnergyConfig().intensity() is None


@pytest.mark.parametrize(
    ("country", "fix"),
    [
        ("France", "did you mean 'FRA'?"),
        ("fra", "did you mean 'FRA'?"),
        ("FR", "did you mean 'FRA'?"),
        ("Germny", "did you mean 'DEU' (germany)?"),
        ("??", "use an ISO 3166 alpha-3 code such as 'FRA'"),
    ],
)
def test_an_unknown_country_is_one_line_with_the_likely_one(country: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_meter(EnergyConfig(meter="none", country=country))
    line = str(caught.value)
    assert line.startswith("energy.country: ")
    assert repr(country) in line
    assert fix in line
    assert "\n" not in line


def test_an_unknown_region_is_never_replaced_by_its_country() -> None:
    with pytest.raises(ConfigError, match=r"energy.region: .*did you mean 'california'"):
        EnergyConfig(country="USA", region="Californa").intensity()
    with pytest.raises(ConfigError, match="FRA has no figures by region"):
        EnergyConfig(country="FRA", region="paris").intensity()


def test_an_unknown_meter_is_one_line_with_the_likely_one() -> None:
    with pytest.raises(ConfigError, match=r"energy.meter: .*did you mean 'codecarbon'\?"):
        open_meter(EnergyConfig(meter="codecarbo"))


def test_an_intensity_of_your_own_stands_with_its_source() -> None:
    config = EnergyConfig(
        country="FRA",
        intensity_g_per_kwh=12.5,
        intensity_source="contract with the utility",
        intensity_year=2026,
    )
    intensity = config.intensity()
    assert intensity is not None
    assert (intensity.g_per_kwh, intensity.region) == (12.5, "FRA")
    assert (intensity.source, intensity.year) == ("contract with the utility", 2026)


@pytest.mark.parametrize(
    "options",
    [
        {"intensity_g_per_kwh": 10},
        {"embodied_g_per_hour": 33},
        {"region": "california"},
        {"pue": 0.9},
        {"intensity_g_per_kwh": -1, "intensity_source": "x"},
        {"intensity_g_per_kwh": float("nan"), "intensity_source": "x"},
        {"contry": "FRA"},
    ],
)
def test_a_wrong_block_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EnergyConfig.model_validate(options)


def test_reading_the_block_imports_nothing_heavy() -> None:
    code = (
        "import sys; from steelyard.harness.energy import EnergyConfig, open_meter\n"
        "open_meter(EnergyConfig(country='FRA'))\n"
        "heavy = {'torch', 'numpy', 'pandas', 'codecarbon', 'pynvml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
