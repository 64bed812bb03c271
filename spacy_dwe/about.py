__title__ = "spacy-dwe"
__version__ = "0.1.0"
