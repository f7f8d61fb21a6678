"""The bridge to MLflow: runs of an autotrack store into one of MLflow's, and back.

`pushing` and `pulling` say what happens; `outgoing` and `incoming` put a run of ours into MLflow's terms (`contents`)
and back. What is at the other end is a `Target` or a `Source`: MLflow's database, spoken to in SQL without MLflow
(`database_*`), its server, through MLflow's own client (`server_*`), or a folder of its file store (`folder_source`).
"""
