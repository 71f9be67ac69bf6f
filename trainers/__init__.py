"""One file per training method; each stands on TRL, PEFT or bitsandbytes."""
