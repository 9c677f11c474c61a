"""Drawing a task graph: columns become a picture of few nodes, the picture becomes Graphviz, Mermaid or text."""
