"""This machine as a real node of a test cluster: kubelet, containerd, image and volumes.

May import the harness.
"""
