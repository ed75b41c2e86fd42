-- Runs once, when the volume is empty: MLflow has a database of its own.
CREATE DATABASE mlflow;
