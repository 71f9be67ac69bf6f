"""Hallucination and safety probes: what one document measured, and how it is asked.

Judge-free: every measure is a comparison of strings or log-likelihoods that anyone can repeat by
hand. Functions are `process_results` of lm-eval tasks; classes are tasks that ask more than once.
``docs/probes.md`` has each definition, its formula, its source and what it cannot tell.
"""
