"""What is measured: suites, tasks, metrics and the microworld."""
