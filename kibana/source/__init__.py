"""Writes the saved objects of Kibana as lines of JSON into `kibana/saved_objects`, in the format of its exports."""
