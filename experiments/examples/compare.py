"""Compares four methods on two changed worlds, and draws and writes the report.

python experiments/examples/compare.py
"""

import jaxrl_ft as ft

source = ft.make_task("CartPole-v1")
targets = {name: ft.make_task("CartPole-v1", shift=name) for name in ("long-pole", "flipped-actions")}

agents = ft.pretrain(source, seeds=16, steps=40_960, seed=0)
result = ft.compare(agents, targets, ["full", "lora", "l2sp", "soften"], seeds=16, steps=20_480, seed=3)

print(result.summary())
result.report("comparison")
print("Open comparison/report.html; the figures are in comparison/figures.")
