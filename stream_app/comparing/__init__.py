"""Champion against challenger on live payments: joined with labels in bounded memory, figures with intervals, an answer in words."""
