"""Messages of local connections on their way to the message service. Begin with publisher.py, which queues them."""
