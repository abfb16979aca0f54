"""Stages of a search, one after the other: retrievers, fusion and rerankers."""

from plait.pipeline.fusion import fuse
from plait.pipeline.pipeline import Pipeline
from plait.pipeline.protocols import Reranker, Retriever
from plait.pipeline.rerankers import BiEncoderReranker, ColBERTReranker, CrossEncoderReranker
from plait.pipeline.retrievers import BiEncoderRetriever, BM25Retriever, ColBERTRetriever
from plait.types import Hits

__all__ = [
    "BM25Retriever",
    "BiEncoderReranker",
    "BiEncoderRetriever",
    "ColBERTReranker",
    "ColBERTRetriever",
    "CrossEncoderReranker",
    "Hits",
    "Pipeline",
    "Reranker",
    "Retriever",
    "fuse",
]
