"""What this machine has, and what of it is free, so that stages do not crowd each other out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from steelyard.harness.environment import nvidia_smi
from steelyard.harness.experiment import Resources

BYTES_PER_GB = 1e9


@dataclass(frozen=True)
class Machine:
    """Cores that this process may use, memory, and GPUs (by the index that CUDA gives them)."""

    cores: int
    memory_gb: float | None
    gpus: tuple[tuple[str, str], ...] = ()
    """``(device, name)``: the device as ``CUDA_VISIBLE_DEVICES`` takes it."""

    def gpus_for(self, needs: Resources) -> float:
        """How many GPUs a stage is given: one where it says nothing and there are any."""
        return needs.gpus if needs.gpus is not None else float(bool(self.gpus))

    def lacks(self, needs: Resources) -> str | None:
        """Why a stage could never run here; None where it can. Cores are not counted: it waits."""
        if self.gpus_for(needs) > len(self.gpus):
            return f"needs {needs.gpus:g} GPUs, this machine has {len(self.gpus)}"
        if needs.accelerator is not None:
            wanted = needs.accelerator.lower().replace("-", " ")
            if not any(wanted in name.lower().replace("-", " ") for _, name in self.gpus):
                return f"needs a GPU of type {needs.accelerator}, this machine has none"
        if None not in (needs.memory_gb, self.memory_gb) and needs.memory_gb > self.memory_gb:  # type: ignore[operator]
            return f"needs {needs.memory_gb:g} GB of memory, this machine has {self.memory_gb:.1f}"
        return None


def this_machine() -> Machine:
    """What the operating system and ``nvidia-smi`` say; no GPU library is loaded."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gb = psutil.virtual_memory().total / BYTES_PER_GB
    return Machine(cores or 1, memory_gb, _gpus())


def _gpus() -> tuple[tuple[str, str], ...]:
    lines = [line.partition(",") for line in nvidia_smi("index,name")]
    devices = [(index.strip(), name.strip()) for index, _, name in lines]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(devices)
    names = dict(devices)
    shown = [device for device in visible.split(",") if device not in ("", "-1")]
    return tuple((device, names.get(device, "")) for device in shown)


@dataclass
class Shares:
    """What of a machine the running stages hold."""

    machine: Machine
    workers: int
    """Most stages at a time; each has an equal share of the cores unless it says otherwise."""
    _held: dict[str, tuple[int, float, tuple[str, ...], float]] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """A stage's cores where it names none."""
        return max(1, self.machine.cores // self.workers)

    @property
    def full(self) -> bool:
        """Whether every worker has a stage."""
        return len(self._held) >= self.workers

    def fits(self, needs: Resources) -> bool:
        """Whether a stage with these needs may start beside those that run."""
        cpus = sum(held[0] for held in self._held.values())
        # More workers than cores were asked for by name: they share what there is.
        room = max(self.machine.cores, self.workers)
        if self._held and cpus + self._cpus(needs) > room:
            return False
        memory = sum(held[1] for held in self._held.values()) + (needs.memory_gb or 0.0)
        if self.machine.memory_gb is not None and memory > self.machine.memory_gb:
            return False
        return self._devices(needs) is not None

    def hold(self, stage: str, needs: Resources) -> tuple[str, ...]:
        """Take a stage's share until :meth:`free`; the GPUs that are its own."""
        devices = self._devices(needs)
        assert devices is not None, "asked without looking whether it fits"
        part = min(self.machine.gpus_for(needs), 1.0)
        self._held[stage] = (self._cpus(needs), needs.memory_gb or 0.0, devices, part)
        return devices

    def free(self, stage: str) -> None:
        """Give a stage's share back."""
        self._held.pop(stage, None)

    def _cpus(self, needs: Resources) -> int:
        return min(needs.cpus or self.threads, self.machine.cores)

    def _devices(self, needs: Resources) -> tuple[str, ...] | None:
        """Free devices for a stage: whole ones, or one with room for its fraction."""
        wanted = self.machine.gpus_for(needs)
        if wanted == 0:
            return ()
        taken = {device: 0.0 for device, _ in self.machine.gpus}
        for _, _, devices, part in self._held.values():
            for device in devices:
                taken[device] += part
        each, count = min(wanted, 1.0), max(1, round(wanted))
        free = [device for device, share in taken.items() if share + each <= 1.0 + 1e-9]
        return tuple(free[:count]) if len(free) >= count else None
