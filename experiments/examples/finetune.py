"""Pretrains agents, fine-tunes them to a longer pole by LoRA, and says what that was worth.

python experiments/examples/finetune.py
"""

import jaxrl_ft as ft

source = ft.make_task("CartPole-v1")
target = ft.make_task("CartPole-v1", half_length=1.5)

agents = ft.pretrain(source, seeds=16, steps=40_960, seed=0)
tuned = ft.finetune(agents, target, method="lora", steps=20_480, seed=1)

for name, policy in {"untouched": agents, "fine-tuned": tuned}.items():
    on_source, on_target = (ft.evaluate(policy, task, episodes=32, seed=2).mean() for task in (source, target))
    print(f"{name:>10}: mean return {on_source:.0f} on the source, {on_target:.0f} on the target")
print("\n".join(tuned.report))

ft.save(tuned, "tuned")
act = ft.load("tuned").policy(0)
print("action at rest:", act([0.0, 0.0, 0.0, 0.0]))
