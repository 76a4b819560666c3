"""A web page and a service for trained models.

limits      what a request may ask for, and pictures that are looked at before they are decoded
asks        what requests say, as the description of the service shows it
rows        rows of different requests in one batch, each with its own draws
queue       requests that wait together run together
duty        a run on duty: what its model can do, test images, figures
operations  what can be asked of a model, in terms of its capabilities alone
history     how a training went, and goes
answers     pictures and numbers on their way out
gate        who may come in
app         the addresses
page/       what the browser shows: plain HTML, CSS and JavaScript
"""
