"""The ``energy:`` block of an experiment file, and the door to the meters."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from steelyard.harness.energy.intensity import country_intensity
from steelyard.harness.errors import ConfigError, did_you_mean
from steelyard.harness.plugins import Meter, load_plugin, plugin_names, require_verbs
from steelyard.harness.records import CarbonIntensity


class EnergyConfig(BaseModel):
    """How energy is measured, and where the electricity comes from.

    No country and no intensity: energy is measured and grams stay empty. A place is never guessed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    meter: str = "codecarbon"
    """``codecarbon``, ``nvml``, ``none``, ``fake``, or a plugin's name."""
    country: str | None = None
    """ISO 3166-1 alpha-3, e.g. ``FRA``."""
    region: str | None = None
    """A US state, Canadian or Chinese province, or Nordic bidding zone, e.g. ``california``."""
    intensity_g_per_kwh: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Your own grid or contract; used instead of the country's average."""
    intensity_source: str | None = None
    """Where that number is from; required beside it."""
    intensity_year: int | None = Field(default=None, ge=1990, le=2100)
    pue: float = Field(default=1.0, ge=1.0, le=10.0)
    """Power usage effectiveness of the data centre; multiplies grams, not the measured energy."""
    embodied_g_per_hour: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Manufacture's share of emissions per hour of use, a stated assumption (about 33 a GPU)."""
    embodied_source: str | None = None
    """Where that assumption is from; required beside it."""

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        """A number without a source is no record."""
        if self.intensity_g_per_kwh is not None and not self.intensity_source:
            raise ValueError("intensity_g_per_kwh needs intensity_source: where is it from?")
        if self.embodied_g_per_hour is not None and not self.embodied_source:
            raise ValueError("embodied_g_per_hour needs embodied_source: where is it from?")
        if self.region is not None and self.country is None:
            raise ValueError("region needs country")
        return self

    def intensity(self) -> CarbonIntensity | None:
        """Grams per kWh with region, source and year; None where no place is named.

        Raises ``ConfigError`` for a country or region without figures.
        """
        if self.intensity_g_per_kwh is not None:
            return CarbonIntensity(
                g_per_kwh=self.intensity_g_per_kwh,
                region=self.region or self.country or "as stated",
                source=self.intensity_source or "",
                year=self.intensity_year,
            )
        if self.country is None:
            return None
        return country_intensity(self.country, self.region)

    def checked(self) -> Self:
        """Itself, once meter, country and region are known to exist. Raises ``ConfigError``."""
        if self.meter not in plugin_names("meters"):
            raise ConfigError(
                "unknown meter",
                key="energy.meter",
                value=self.meter,
                fix=did_you_mean(self.meter, plugin_names("meters")),
            )
        self.intensity()
        return self


def open_meter(config: EnergyConfig) -> Meter:
    """The meter that ``config`` names. Costs nothing until its first window.

    Raises ``ConfigError`` for an unknown meter, country or region.
    """
    config.checked()
    meter: Meter = load_plugin("meters", config.meter)(config)
    require_verbs("meters", config.meter, meter, "window", "close")
    return meter


Phase = Literal["train", "score", "inherited"]
