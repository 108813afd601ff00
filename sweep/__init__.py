"""Which of these model choices is really better, and by how much?"""

__version__ = "0.1.0"
