"""The broker and the store that come with Keepstream: trying it needs no Docker and no Java.

They are the real Apache Kafka and Valkey, on loopback ports, for trying and testing.
"""
