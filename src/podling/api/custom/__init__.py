"""What a CustomResourceDefinition says of its objects: pruning, defaults and validation of plain trees. Pure.

openAPIV3Schema ─▶ structural.schema_of ─▶ pruning, defaulting      walk the one `Schema`
                └▶ values.validator                                 judges values, in upstream's words
"""
