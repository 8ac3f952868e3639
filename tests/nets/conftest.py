from jaxrl_ft.engine import placement

placement.prepare()
