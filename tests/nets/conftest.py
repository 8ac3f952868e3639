from jaxrl_ft.training import devices

devices.prepare()
