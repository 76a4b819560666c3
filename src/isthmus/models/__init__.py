"""The models: one file for each published model, in a folder for each family. The folders are the registry."""
