"""The model side: image preparation, model specs and runtimes, the embedding cache, the GPU worker.

May import: infra, schemas, and libraries; none of its neighbours.
"""
