"""Asks which method to use on two changed worlds, and follows the advice.

python experiments/examples/advise.py
"""

import jaxrl_ft as ft

BUDGET = 20_480
agents = ft.pretrain(ft.make_task("CartPole-v1"), seeds=16, steps=40_960, seed=0)

for shift in ("weak-motor", "biased-sensors"):
    target = ft.make_task("CartPole-v1", shift=shift)
    advice = ft.advise(agents, target, steps=BUDGET)
    print(f"{shift}\n{advice}\n")
    if advice.method == "zero_shot":
        continue
    left = BUDGET - int(advice.env_steps.max())
    tuned = ft.finetune(agents, target, advice.recipe, steps=left)
    print(f"mean return after {advice.method}: {tuned.curve[:, -1].mean():.0f}\n")
