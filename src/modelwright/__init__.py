"""Modelwright: from a problem and some data to a deployed, monitored model."""
